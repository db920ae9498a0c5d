"""A decorator that records each call of a function."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import wraps
from operator import attrgetter
from typing import Any, TypeVar

from msgspec import Struct

from audit_trail_publisher.builders import EventBuilders
from audit_trail_publisher.fields import EventFields
from audit_trail_publisher.generated.catalogue import CATALOGUE
from audit_trail_publisher.generated.event import Outcome
from audit_trail_publisher.trail import Trail

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

UNKNOWN_ID = "(unknown)"
"""The id of the resource of a call that failed, when only its result would have named it."""
RESULT = "result"
_DENIED = "access.denied"


class Call(Struct, frozen=True):
    """One call: its arguments by name, with defaults, and its result; None when it failed."""

    arguments: Mapping[str, Any]
    result: Any = None


Reference = str | Callable[[Call], Any]
"""The name of a parameter, perhaps with attributes (``order.patient_id``, ``result.id``); or a function of the call."""


def audited(
    trail: Trail | Callable[[], Trail],
    type: str,
    *,
    patient: Reference | None = None,
    resource: tuple[str, Reference] | Callable[[Call], Any] | None = None,
    denied: tuple[type[BaseException], ...] = (PermissionError,),
    **fields: Any,
) -> Callable[[F], F]:
    """Record an event of `type` for each call of the function, ``def`` or ``async def``.

    ::

        @audited(trail, "record.read", patient="patient_id", resource=("Observation", "observation_id"))
        def observation(patient_id: str, observation_id: str) -> Observation: ...

        @audited(trail, "record.created", patient="patient_id", resource=("Order", "result.id"))
        async def place_order(patient_id: str, drug: str) -> Order: ...

    The event is recorded after the call, before the caller gets the result: what can't be recorded raises
    `PublisherError` instead. A call that raises is recorded with the outcome ``serious_failure``, or as `access.denied`
    for the exceptions in `denied`, and its exception goes on. Of the arguments the event contains what `patient` and
    `resource` name, and no other. `fields` are further fields of the event.

    Raises `TypeError` at once for an event type, a field or a parameter that does not exist, and for a generator, which
    does nothing when it is called.
    """
    if type not in CATALOGUE:
        raise TypeError(f"the catalogue has no event type {type}")
    unknown = sorted(fields.keys() - _fields_of(type))
    if unknown:
        raise TypeError(f"{type} has no field {', '.join(unknown)}")

    def decorate(function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"{function.__qualname__} is a generator: record where its values are used")
        events = _Events(function, type, patient, resource, denied, fields)
        current = trail if isinstance(trail, Trail) else None
        given: Callable[[], Trail] = (lambda: current) if current is not None else trail  # type: ignore[assignment]
        wrap = _async if inspect.iscoroutinefunction(function) else _sync
        return wrap(function, events, given)  # type: ignore[return-value]

    return decorate


def _fields_of(type: str) -> set[str]:
    """The fields that the method for an event type accepts."""
    methods: EventBuilders[None] = EventBuilders(lambda *_, **__: None)
    return {*inspect.signature(attrgetter(type)(methods)).parameters, *EventFields.__annotations__}


def _sync(function: Callable[..., Any], events: _Events, trail: Callable[[], Trail]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = events.arguments(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as exc:
            try:
                type, fields = events.failed(arguments, exc)
                attrgetter(type)(trail())(**fields)
            except Exception as unrecorded:  # noqa: BLE001 - the caller gets the function's own exception
                _log_unrecorded(function, unrecorded)
            raise
        attrgetter(events.type)(trail())(**events.succeeded(arguments, result))
        return result

    return call


def _async(function: Callable[..., Any], events: _Events, trail: Callable[[], Trail]) -> Callable[..., Any]:
    @wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        arguments = events.arguments(args, kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as exc:
            try:
                type, fields = events.failed(arguments, exc)
                await attrgetter(type)(trail().aio)(**fields)
            except Exception as unrecorded:  # noqa: BLE001 - as above
                _log_unrecorded(function, unrecorded)
            raise
        await attrgetter(events.type)(trail().aio)(**events.succeeded(arguments, result))
        return result

    return call


class _Events:
    """The events of one function."""

    def __init__(
        self,
        function: Callable[..., Any],
        type: str,
        patient: Reference | None,
        resource: tuple[str, Reference] | Callable[[Call], Any] | None,
        denied: tuple[type[BaseException], ...],
        fields: Mapping[str, Any],
    ) -> None:
        self.type = type
        self._signature = inspect.signature(function)
        self._patient = patient
        self._resource = resource
        self._denied = denied
        self._fields = fields
        for reference in (patient, resource[1] if isinstance(resource, tuple) else None):
            if isinstance(reference, str):
                self._require(reference.partition(".")[0], function.__qualname__)

    def _require(self, parameter: str, function: str) -> None:
        if parameter not in self._signature.parameters and parameter != RESULT:
            raise TypeError(f"{function} has no parameter {parameter}")

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments by name. Raises `TypeError` as the call itself would."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def succeeded(self, arguments: Mapping[str, Any], result: Any) -> dict[str, Any]:
        """The fields of the event of a call that returned."""
        return self._described(Call(arguments, result))

    def failed(self, arguments: Mapping[str, Any], exc: BaseException) -> tuple[str, dict[str, Any]]:
        """The type and the fields of the event of a call that raised."""
        denied = isinstance(exc, self._denied)
        # The exception's text may be about a patient.
        failure = {
            "outcome": Outcome.MINOR_FAILURE if denied else Outcome.SERIOUS_FAILURE,
            "outcome_reason": type(exc).__name__,
        }
        return _DENIED if denied else self.type, self._described(Call(arguments)) | failure

    def _described(self, call: Call) -> dict[str, Any]:
        found = dict(self._fields)
        if self._patient is not None:
            patient = self._value(self._patient, call)
            found["patient"] = str(patient) if isinstance(patient, int) else patient
        if isinstance(self._resource, tuple):
            kind, reference = self._resource
            id = self._value(reference, call)
            found["resource"] = (kind, UNKNOWN_ID if id is None else str(id))
        elif self._resource is not None:
            found["resource"] = self._resource(call)
        return found

    def _value(self, reference: Reference, call: Call) -> Any:
        if not isinstance(reference, str):
            return reference(call)
        name, _, attributes = reference.partition(".")
        value = call.arguments.get(name, call.result)
        return attrgetter(attributes)(value) if attributes and value is not None else value


def _log_unrecorded(function: Callable[..., Any], exc: Exception) -> None:
    log.error("a failed call of %s could not be recorded: %s", function.__qualname__, type(exc).__name__)
