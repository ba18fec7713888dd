//! Jobs: the timetable, the runner, one file per job.
