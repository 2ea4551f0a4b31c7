"""What a user sets for the `jaeger` extension."""

from __future__ import annotations

from pydantic import Field

from spanward.sidecar.component import Config


class JaegerConfig(Config):
    """Where Jaeger reads traces from."""

    endpoint: str = "127.0.0.1:17271"
    """host:port to listen on; port 0 takes a free one. Loopback by default: there is no authentication."""

    tenant_header: str = "x-tenant"
    """gRPC metadata key that names the tenant, as in Jaeger's own `multi_tenancy.header`; a call without it reads the
    tenant `default`. "" lets every call read `default`."""

    max_message_mib: int = Field(default=4, ge=1, le=1024)
    """Bound of one message in MiB; a larger trace comes in several. Jaeger's client takes 4 MiB unless told otherwise
    (`max_recv_msg_size_mib`). A single span beyond the bound is sent all the same, alone."""

    max_workers: int = Field(default=4, ge=1, le=256)
    """Threads that read the table; further calls wait their turn."""

    governance: bool = True
    """Show what the policy said of a span as its tags: `spanward.classification`, `spanward.retention`,
    `spanward.pii`, `spanward.quality.score`, `spanward.quality.violations`."""
