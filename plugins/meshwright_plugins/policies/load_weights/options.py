"""Options of `load_weights`; what they do is in the policy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from meshwright_sdk import Duration, Options, Percent, PositiveDuration, RequestTarget


class PollOptions(Options):
    """Where and how often endpoints are asked for their load."""

    path: RequestTarget = Field(
        description="Path that is asked for by GET; the report is in the answer's header, or is its content as JSON."
    )
    interval: PositiveDuration = Field(
        Duration("10s"), description="Time from one question to an endpoint to the next."
    )
    timeout: PositiveDuration = Field(Duration("2s"), description="How long an answer may take, connecting included.")


class LoadWeightsOptions(Options):
    """Where reports come from, and how weights follow from them."""

    formula: Literal["headroom", "capacity"] = Field(
        "headroom",
        description="headroom: weigh by what is free, 1 - utilization; capacity: by rps_fractional / utilization.",
    )
    metric: str | None = Field(
        None,
        pattern=r"^(application_utilization|cpu_utilization|mem_utilization|(named_metrics|utilization)\.[!-~]+)$",
        description="Metric that is the utilization, such as named_metrics.gpu; else application_utilization where it "
        "is above 0, and cpu_utilization where it is not.",
    )
    error_penalty: Annotated[float, Field(ge=0, le=1000)] = Field(
        1.0, description="The share of errors, eps / rps_fractional, times this is added to the utilization."
    )
    poll: PollOptions | None = Field(
        None, description="Ask endpoints for their load, also those that tell it with no answer."
    )
    remove_header: bool = Field(True, description="Take the report off the answer, so that clients do not see it.")
    update_interval: PositiveDuration = Field(Duration("1s"), description="Time from one set of weights to the next.")
    smoothing: Duration = Field(
        Duration("3s"),
        description="Reports count for less the older they are: after this time for a third; 0s for none.",
    )
    minimum: Percent = Field(
        Percent("10%"), description="Of its own weight an endpoint keeps so much, whatever it reports."
    )
    blackout: Duration = Field(
        Duration("10s"), description="An endpoint must have reported for so long before its reports count."
    )
    expiry: PositiveDuration = Field(
        Duration("3m"), description="So long after its last report an endpoint has its own weight again."
    )
