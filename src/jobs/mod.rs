//! Jobs: the timetable, the runner, one file per job.

pub mod refresh_grants;
