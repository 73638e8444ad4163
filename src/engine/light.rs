//! What a light user may send besides registrations (R44, R45): calls, and nothing else. The rules are `licence`'s; here
//! a request is brought to its sender. It looks at no call's request and so never ends one, nor an emergency call (R71).

use crate::ids::Flow;
use crate::licence::light;
use crate::model::Kind;
use crate::reason::Refusal;
use crate::route::snapshot::Instance;
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::view::View;

/// Refuses what its sender's licence does not cover; in shadow mode it is counted and passes. Requests of the instance
/// are not the sender's, and accounts that are on no list are no light users.
pub(super) fn check(flow: Flow, instance: &Instance, view: &View<'_>) -> Result<(), Refusal> {
    let event = match view.method() {
        Method::Subscribe | Method::Notify if view.count(Name::Event) == 1 => view.value(Name::Event),
        _ => None,
    };
    // Nearly every request ends here, before anything is looked up.
    if light::allows(view.method(), event) || flow.listener().is_inside() {
        return Ok(());
    }
    let Some(roster) = &instance.roster else { return Ok(()) };
    let Ok(Some(account)) = view.from().and_then(|from| from.uri()).map(|uri| uri.user) else { return Ok(()) };
    match roster.of_account(account) {
        Some(who) if who.kind == Kind::Light && instance.shadow => {
            instance.stats.shadow(Refusal::LightMethod);
            Ok(())
        }
        Some(who) if who.kind == Kind::Light => Err(Refusal::LightMethod),
        _ => Ok(()),
    }
}
