//! What can be asked of the control plane, and who asks.

use super::licence::backup::Backup;
use super::plan::UsersTouched;
use crate::ids::{InstanceId, ProxyId};
use crate::model::{Certificate, Instance, Licensing, Proxy, State, User};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Who makes a change, as the audit records it (R77).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor(pub String);

/// One change of the table. Names are compared without case.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// Makes a new instance (R1).
    CreateInstance {
        /// With id 0.
        row: Instance,
    },
    /// Replaces an instance's row, except its id and name.
    UpdateInstance {
        /// Which.
        name: String,
        /// As it shall be.
        row: Instance,
    },
    /// Creates the instance of this name or replaces its row, whichever is needed.
    PutInstance {
        /// As it shall be.
        row: Instance,
    },
    /// Removes an instance for ever.
    DeleteInstance {
        /// Which.
        name: String,
    },
    /// Switches an instance on or off, or notes where it is in between (R34).
    SetState {
        /// Which.
        name: String,
        /// The new state.
        state: State,
    },
    /// Books users for an instance, or changes its mode (R14, R18, R19).
    SetLicence {
        /// Which.
        name: String,
        /// As it shall be.
        licence: Licensing,
    },
    /// Gives an instance another name; the old one routes on until its date (R7).
    RenameInstance {
        /// Which.
        name: String,
        /// The new name.
        to: String,
        /// Unix seconds until which the old name routes; absent means 30 days from now.
        #[serde(default)]
        keep_until: Option<u64>,
    },
    /// Makes a new proxy.
    CreateProxy {
        /// With id 0.
        row: Proxy,
    },
    /// Replaces a proxy's row, except its id.
    UpdateProxy {
        /// Which.
        name: String,
        /// As it shall be.
        row: Proxy,
    },
    /// Creates the proxy of this name or replaces its row, whichever is needed.
    PutProxy {
        /// As it shall be.
        row: Proxy,
    },
    /// Removes a proxy.
    DeleteProxy {
        /// Which.
        name: String,
    },
    /// Stores a certificate under its name, in place of the one before.
    PutCertificate {
        /// With its key.
        row: Certificate,
    },
    /// Removes a certificate.
    DeleteCertificate {
        /// Which.
        name: String,
    },
    /// Installs a licence, in place of the one it follows (R21, R64).
    InstallLicence {
        /// The document's text.
        document: String,
        /// Accepts that it is bound to another machine (R59).
        #[serde(default)]
        confirm: bool,
    },
    /// Takes a licence out that nothing uses.
    RemoveLicence {
        /// Which.
        id: String,
    },
    /// Attaches a pack or feature licence to a server licence (R53).
    AttachLicence {
        /// Which.
        id: String,
        /// The server licence.
        server: String,
    },
    /// Takes a pack or feature licence off its server licence (R55).
    ReleaseLicence {
        /// Which.
        id: String,
    },
    /// Puts back what an exported licence book held (R62).
    RestoreLicences {
        /// The book.
        backup: Box<Backup>,
    },
    /// Makes this the list of an instance's users: from then on only listed accounts register (R49).
    PutUsers {
        /// Whose.
        instance: String,
        /// All of them.
        users: Vec<User>,
    },
    /// Adds users to an instance's list, in place of those with the same names; the others stay. Begins the list
    /// where there is none.
    ImportUsers {
        /// Whose.
        instance: String,
        /// The ones to add or replace.
        users: Vec<User>,
    },
    /// Adds a user to the list there is, or replaces the one of that name.
    PutUser {
        /// Whose.
        instance: String,
        /// As it shall be.
        user: User,
    },
    /// Takes a user off the list, which stays one even if it is empty then.
    DeleteUser {
        /// Whose.
        instance: String,
        /// The user's name.
        user: String,
    },
    /// Takes the list away: every account is a full user of its own again (R49).
    DeleteUsers {
        /// Whose.
        instance: String,
    },
}

impl Change {
    /// The name of the row it is about, before the change.
    pub fn name(&self) -> &str {
        match self {
            Self::CreateInstance { row } | Self::PutInstance { row } => &row.name,
            Self::CreateProxy { row } | Self::PutProxy { row } => &row.name,
            Self::PutCertificate { row } => &row.name,
            Self::UpdateInstance { name, .. }
            | Self::DeleteInstance { name }
            | Self::SetState { name, .. }
            | Self::SetLicence { name, .. }
            | Self::RenameInstance { name, .. }
            | Self::UpdateProxy { name, .. }
            | Self::DeleteProxy { name }
            | Self::DeleteCertificate { name } => name,
            Self::InstallLicence { .. } | Self::RestoreLicences { .. } => "",
            Self::RemoveLicence { id } | Self::AttachLicence { id, .. } | Self::ReleaseLicence { id } => id,
            Self::PutUsers { instance, .. }
            | Self::ImportUsers { instance, .. }
            | Self::PutUser { instance, .. }
            | Self::DeleteUser { instance, .. }
            | Self::DeleteUsers { instance } => instance,
        }
    }
}

/// A change, and the revision its row must be at.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked {
    /// What.
    pub change: Change,
    /// `If-Match`: refused as stale unless the row is at this revision.
    pub if_match: Option<u64>,
}

impl From<Change> for Asked {
    fn from(change: Change) -> Self {
        Self { change, if_match: None }
    }
}

/// A row with the revision of its last change: its ETag.
#[derive(Debug)]
pub struct Versioned<T> {
    /// The store's revision that wrote it.
    pub revision: u64,
    /// The row.
    pub row: Arc<T>,
}

impl<T> Clone for Versioned<T> {
    fn clone(&self) -> Self {
        Self { revision: self.revision, row: Arc::clone(&self.row) }
    }
}

/// What became of a set of changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// The revision that holds them; the one before if they changed nothing.
    pub revision: u64,
    /// Instances made or changed.
    pub instances: Vec<InstanceId>,
    /// Proxies made or changed.
    pub proxies: Vec<ProxyId>,
    /// Lists of users that were made, changed or taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UsersTouched>,
}
