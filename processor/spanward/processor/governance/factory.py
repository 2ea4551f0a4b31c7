"""Makes the `policy` processor."""

from __future__ import annotations

from typing import Final

from spanward.processor.governance.config import PolicyConfig
from spanward.processor.governance.governance import Governance
from spanward.processor.governance.kernel import load_kernel
from spanward.processor.policy.governor import Governor
from spanward.sidecar.component import Factory, Host


def create(config: PolicyConfig, host: Host) -> Governance:
    """A processor with the policy of `config` and the hash keys of the host's keyring.

    Raises:
        ConfigurationError: the policy's file is missing or wrong, or the kernel was asked for and cannot do it.
    """
    policy, keys, limits = config.load(), host.store.keyring.hash_keys(), config.limits.to_limits()
    kernel = load_kernel(config.engine, policy, keys, limits)
    return Governance(Governor(policy, keys), limits, host.metrics, host.identifier, kernel)


factory: Final = Factory(PolicyConfig, create)
