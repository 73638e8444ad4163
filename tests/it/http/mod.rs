//! The HTTP front on real sockets, against small instances that behave, and some that do not.

mod conformance;
mod flow;
mod h1;
mod h2;
mod light;
mod peer;
mod routes;
mod tls;
mod tunnels;
mod world;
