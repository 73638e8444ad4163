//! Licences as an operator handles them: through the API and the command line.

mod book;
mod booking;
mod light;
mod seats;
mod users;
mod vendor;
