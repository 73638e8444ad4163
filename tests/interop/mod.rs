//! Real programs from Debian on both sides of the node: Kamailio as the PBX of an instance, SIPp
//! and baresip as phones, nginx as an instance's web server.

mod baresip;
mod linphone;
mod pbx;
mod scan;
mod sipp;
mod stunnel;
mod web;

mod acme;
mod browser;
mod calls;
mod certificates;
mod crowd;
mod floods;
mod guard;
mod idle;
mod light;
mod reload;
mod restart;
mod seats;
mod soak;
mod storm;
mod tls;

/// Whether the long forms run: `tests/run soak`.
fn long() -> bool {
    std::env::var_os("NANTUCKET_LONG").is_some()
}
