"""The compiled kernel, where it is installed and can do what the policy asks for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa

from spanward.processor.governance.governed import GovernedRows
from spanward.processor.governance.limits import Limits
from spanward.processor.policy.config import Policy
from spanward.processor.policy.kernel_plan import compile_plan
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.native import Engine, load_native
from spanward.sidecar.component import Encoding
from spanward.store.intake import Outcome, Request
from spanward.store.schema import PROMOTED_DOUBLES, PROMOTED_INTS, PROMOTED_STRINGS, SPANS

_LOGGER: Final = logging.getLogger(__name__)
_COLUMNS: Final = {
    "names": SPANS.names,
    "strings": list(PROMOTED_STRINGS.items()),
    "ints": list(PROMOTED_INTS.items()),
    "doubles": list(PROMOTED_DOUBLES.items()),
}


@dataclass(frozen=True, slots=True)
class KernelGroup:
    """Requests that the kernel decoded together.

    Attributes:
        governed: the rows of all of them, in their order.
        outcomes: of each.
    """

    governed: GovernedRows
    outcomes: Sequence[Outcome]


class Kernel:
    """Decodes and governs requests as the twin does. Safe to call from several threads."""

    def __init__(self, native: Any) -> None:
        """Args: `native` is a `spanward.native.Kernel`."""
        self._native = native
        self._failed = False

    def decode_all(self, requests: Sequence[Request]) -> KernelGroup | None:
        """Requests whose forms are `Encoding`s; None when there is one among them that the twin has to read.

        That is any request with something unusual in it: a span to refuse, a field that does not fit, deep nesting.
        """
        try:
            decoded = self._native.decode_all(
                [(one.body, one.form is Encoding.JSON, one.tenant, one.received_at_ns) for one in requests]
            )
        except RuntimeError as error:  # a bug of the kernel must not cost the client its spans
            if not self._failed:
                self._failed = True
                _LOGGER.error("%s; the request was decoded in Python; this is said once", error)  # noqa: TRY400
            return None
        if decoded is None:
            return None
        # by address: over the PyCapsule interface each batch gets a schema of its own, made anew and then compared with
        # the table's column by column, which costs more than twenty spans
        rows = pa.RecordBatch._import_from_c(decoded.address, SPANS)  # noqa: SLF001 - pyarrow's way to give the schema
        outcomes = [Outcome(stored, accepted=stored + dropped) for stored, dropped in decoded.requests]
        dropped = sum(dropped for _, dropped in decoded.requests)
        return KernelGroup(GovernedRows(rows, dropped, decoded.pii, decoded.violations), outcomes)

    def decode(self, body: bytes, encoding: Encoding, tenant: str, received_at_ns: int) -> GovernedRows | None:
        """One request, as `decode_all`."""
        group = self.decode_all([Request(tenant, body, encoding, received_at_ns)])
        return None if group is None else group.governed


def load_kernel(engine: Engine, policy: Policy, keys: Sequence[HashKey], limits: Limits) -> Kernel | None:
    """The kernel for a policy; None where Python has to do.

    Raises:
        ConfigurationError: the engine is KERNEL, and it is not installed or cannot do what the policy asks for.
    """
    native = load_native(engine, "Kernel", keys, lambda: compile_plan(policy, asdict(limits), _COLUMNS))
    return None if native is None else Kernel(native)
