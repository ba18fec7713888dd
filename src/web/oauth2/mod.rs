//! Where mail providers send the admin back.
