//! What a server licence comes to, with the reasons (R25, R56): for lists and reports.

use super::{Book, Licence};
use crate::licence::binding::State;
use crate::licence::contract::counts;
use crate::licence::edition::Edition;
use crate::licence::release::Release;
use crate::licence::terms::Terms;
use crate::model::{Kind, Seats};
use serde::Serialize;
use utoipa::ToSchema;

/// A server licence with what is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServerView {
    /// Its id.
    pub id: String,
    /// What it was sold as.
    pub edition: Edition,
    /// Where it is in its life (R63).
    pub state: State,
    /// The newest release it may be used with by now (R54).
    #[schema(value_type = String)]
    pub entitlement: Release,
    /// End of the update contract that runs longest, in Unix seconds.
    pub contract_until: Option<u64>,
    /// Users that come with it.
    pub included: u32,
    /// Effective users (R56).
    pub users: Seats,
    /// Users of both kinds it never exceeds; none without a cap (R51).
    pub cap: Option<u32>,
    /// Whether soft clients may register.
    pub softphones: bool,
    /// Packs and feature licences.
    pub attached: Vec<Attached>,
}

/// What is attached to a server licence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attached {
    /// Its id.
    pub id: String,
    /// Users of a pack.
    pub users: Seats,
    /// The newest release it may be used with by now.
    #[schema(value_type = String)]
    pub entitlement: Release,
    /// Why it does not count now; none if it does.
    pub idle: Option<String>,
}

impl Book {
    /// A server licence, as it stands.
    pub fn server_view(&self, id: &str) -> Option<ServerView> {
        let (server, entitlement) = self.server(id)?;
        let allowance = self.grants.dedicated(Some(id));
        let contracts = self.present().filter_map(|it| match &it.document.body().terms {
            Terms::Contract(contract) if contract.server == id && contract.until > self.installation.seen => {
                Some(contract.until)
            }
            _ => None,
        });
        Some(ServerView {
            id: id.to_owned(),
            edition: server.edition,
            state: self.state(id)?,
            entitlement,
            contract_until: contracts.max(),
            included: server.included,
            users: allowance.seats,
            cap: (allowance.total != u32::MAX).then_some(allowance.total),
            softphones: allowance.softphones,
            attached: self
                .present()
                .filter(|it| it.server.as_deref() == Some(id))
                .map(|it| self.attached(it, entitlement))
                .collect(),
        })
    }

    fn attached(&self, licence: &Licence, server: Release) -> Attached {
        let users = match &licence.document.body().terms {
            Terms::Pack(pack) => match pack.kind {
                Kind::Full => Seats { full: pack.count, light: 0 },
                Kind::Light => Seats { full: 0, light: pack.count },
            },
            _ => Seats::default(),
        };
        let idle = if licence.is_expired(self.installation.seen) {
            Some("it has expired".to_owned())
        } else {
            let text = || format!("it entitles to {}, the server licence to {server} (R56)", licence.reached);
            (!counts(licence.reached, server)).then(text)
        };
        Attached { id: licence.document.id().to_owned(), users, entitlement: licence.reached, idle }
    }
}
