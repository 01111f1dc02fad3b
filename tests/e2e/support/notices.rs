//! What the server says beside its answers.

use std::sync::{Arc, Mutex, PoisonError};

use postgres::NoTls;

use super::failure::Failure;
use super::session::Session;
use super::world::World;

/// The notices and warnings of one connection, in their order.
#[derive(Clone, Default)]
pub struct Notices(Arc<Mutex<Vec<Failure>>>);

impl Notices {
    /// Those since the last call. What an abort has to say comes after the error, so the session is asked once more.
    pub fn take(&self, session: &mut Session) -> Vec<Failure> {
        session.run("");
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The one warning since the last call.
    #[track_caller]
    pub fn warning(&self, session: &mut Session) -> Failure {
        let mut all = self.take(session);
        assert_eq!(all.len(), 1, "not one warning: {all:#?}");
        all.swap_remove(0)
    }
}

impl World {
    /// A connection as the role whose notices are kept.
    pub fn connect_listening(&self) -> (Session, Notices) {
        let notices = Notices::default();
        let kept = notices.clone();
        let mut config = self.cluster().config(&self.name, &self.name, &self.password);
        config.notice_callback(move |notice| {
            kept.0.lock().unwrap_or_else(PoisonError::into_inner).push(Failure::reported(&notice));
        });
        (Session::new(config.connect(NoTls).expect("the role can connect")), notices)
    }
}
