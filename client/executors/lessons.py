"""What a reply, or its absence, teaches of the network and of the endpoint's models."""

from __future__ import annotations

from ondevice.client.endpoint.description import EndpointDescription, PreparedRequest
from ondevice.client.endpoint.reply import ParsedReply
from ondevice.client.network import CENSORED, NetworkEstimates, NetworkSample


def inference_ms(parsed: ParsedReply, took_ms: float) -> float:
    """What the inference took; all of the time where the server does not say."""
    return took_ms if parsed.server_ms is None else min(parsed.infer_ms, took_ms)


def of_reply(network: NetworkEstimates, parsed: ParsedReply, size_bytes: int, took_ms: float) -> None:
    """Learn from the first answer to a request with a body of so many bytes, which took so long."""
    if parsed.server_ms is None:  # then all of it is the model's
        network.add(NetworkSample(size_bytes, 0.0, 0.0, 0.0))
        return
    server_ms = min(parsed.server_ms, took_ms)
    network_ms = took_ms - server_ms
    if parsed.upload_ms is not None:
        upload_ms = min(parsed.upload_ms, network_ms)
        network.replied(upload_ms, network_ms - upload_ms)
    other_ms = max(server_ms - inference_ms(parsed, took_ms), 0.0)
    network.add(NetworkSample(size_bytes, network_ms, parsed.upload_ms, other_ms))


def of_silence(
    network: NetworkEstimates,
    endpoint: EndpointDescription | None,
    prepared: PreparedRequest | None,
    elapsed_ms: float,
) -> None:
    """Learn that nothing had come after so long. prepared: what was sent; None: it had not come to that."""
    if endpoint and prepared and prepared.model and not network.fixed_ms():  # all is counted as the model's
        endpoint.record_inference(prepared.model, CENSORED * elapsed_ms)
    else:
        network.add_late(len(prepared.request.body) if prepared else 0, elapsed_ms)
