//! Real programs from Debian on both sides of the node: Kamailio as the PBX of an instance, SIPp
//! and baresip as phones, nginx as an instance's web server.

mod baresip;
mod pbx;
mod sipp;
mod web;

mod calls;
mod reload;
mod soak;
