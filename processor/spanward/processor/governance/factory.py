"""Makes the `policy` processor."""

from __future__ import annotations

from typing import Final

from spanward.processor.governance.config import PolicyConfig
from spanward.processor.governance.governance import Governance
from spanward.processor.policy.governor import Governor
from spanward.sidecar.component import Factory, Host


def create(config: PolicyConfig, host: Host) -> Governance:
    """A processor with the policy of `config` and the hash keys of the host's keyring.

    Raises:
        ConfigurationError: the policy's file is missing or wrong.
    """
    governor = Governor(config.load(), host.store.keyring.hash_keys())
    return Governance(governor, config.limits.to_limits(), host.metrics, host.identifier)


factory: Final = Factory(PolicyConfig, create)
