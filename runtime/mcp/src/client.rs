//! One client: what it is told, and what it asks for.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gloaming_api::bowout::shorten;
use gloaming_api::journal::EventKind;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, InitializeRequestParams, InitializeResult, ListToolsResult,
    PaginatedRequestParams, ServerConfig, Tool,
};
use rmcp::service::{NotificationContext, Peer, RequestContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};

use crate::roots;
use crate::server::Shared;

/// How long a client may take to name its roots.
const ROOTS: Duration = Duration::from_secs(10);

/// Bytes of a client's name and version that are recorded.
const NAME: usize = 200;

/// The handler of one connection or session.
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    /// Its number, from when it introduced itself. Clients of the newer protocol introduce themselves in every
    /// request instead: their calls go by 0.
    number: OnceLock<u32>,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, number: OnceLock::new() }
    }

    /// Compares the client's roots with what is served and says where they differ. They change nothing.
    #[expect(deprecated, reason = "newer protocols have no roots; clients of today still send them")]
    async fn look_at_roots(&self, peer: &Peer<RoleServer>) {
        if peer.peer_info().is_none_or(|client| client.capabilities.roots.is_none()) {
            return;
        }
        let asked = tokio::time::timeout(ROOTS, peer.list_roots()).await;
        let roots = match asked {
            Ok(Ok(answer)) => answer.roots,
            Ok(Err(error)) => return tracing::debug!(%error, "the client did not name its roots"),
            Err(_) => return tracing::debug!("the client did not name its roots in time"),
        };
        let folder = &self.shared.served.folder;
        for root in roots.iter().filter(|root| !roots::is_inside(&root.uri, folder)) {
            tracing::warn!(
                root = ?shorten(&root.uri, NAME),
                served = %folder.display(),
                "a root of the client lies outside what is served and is ignored"
            );
        }
    }
}

impl ServerHandler for Client {
    fn get_info(&self) -> ServerConfig {
        self.shared.info.clone()
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let answer = self.negotiate_initialize(&request)?;
        let number = *self.number.get_or_init(|| self.shared.clients.fetch_add(1, Ordering::AcqRel) + 1);
        let joined = EventKind::ClientJoined {
            client: number,
            name: shorten(&request.client_info.name, NAME),
            version: shorten(&request.client_info.version, NAME),
            protocol: answer.protocol_version.to_string(),
        };
        match self.shared.note(joined).await {
            Ok(()) => Ok(answer),
            Err(_) => Err(ErrorData::internal_error("the server cannot write its journal", None)),
        }
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.look_at_roots(&context.peer).await;
    }

    async fn on_roots_list_changed(&self, context: NotificationContext<RoleServer>) {
        self.look_at_roots(&context.peer).await;
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.shared.tools.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.shared.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let number = self.number.get().copied().unwrap_or(0);
        self.shared.call(number, request, &context).await.map(CallToolResponse::from)
    }
}
