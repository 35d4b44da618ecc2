"""What we add to the protocol: pictures in, classes out, the model that chooses another, and parameters for all three.

Every model takes the input `image` besides its own tensor, and answers it with `label`, `score` and `index`.
"""

from __future__ import annotations

# The virtual model, which chooses among all others.
NAME = "cnnselect"
# Models have no versions here; the protocol wants one.
VERSION = "1"

# The input that takes a compressed picture, BYTES [1].
IMAGE = "image"
# What pictures are answered with, in this order: BYTES, FP32 and INT32, each [classes], best first.
LABEL, SCORE, INDEX = ANSWER = ("label", "score", "index")

# What a request may say besides its picture, in its `parameters` or in the query. SLA_MS: the deadline, from the
# client's first byte sent; TIMEOUT: the same in µs, as Triton has it. UPLOAD_MS, RETURN_MS: what the network takes each
# way. TOP: how many classes. DEVICE_TOP1: the accuracy that the client has without us. REPLY: what it has learned of
# the reply's time given the upload's. ANYTIME: how many answers it takes, each sent as soon as it is there. UPLOAD:
# what the picture was made before it was sent, as `Rung.text`. CROPPED: the share of its shorter side that its sender
# has cut out of the centre, so that no more is cut off than is usual.
REQUEST = (
    SLA_MS, TIMEOUT, UPLOAD_MS, RETURN_MS, POLICY, TOP, DEVICE_TOP1, REPLY, ANYTIME, UPLOAD, CROPPED,
) = (
    "sla_ms", "timeout", "upload_ms", "return_ms", "policy", "top", "device_top1", "reply", "anytime", "upload",
    "cropped",
)  # fmt: skip
# Among the parameters of the metadata: what a picture can be sent as, and what that leaves of the models' accuracies.
UPLOADS = "uploads"
# The picture's size, where the choice alone is asked for.
BYTES = "bytes"

# What is said besides an answer. BUDGET_MS: what the network leaves of the deadline. The others are parts of the time
# at the server, and what is expected of the model that was selected.
SELECTED_MODEL, BUDGET_MS, QUEUE_MS, DECODE_MS, INFER_MS, EXPECTED_TOP1 = (
    "selected_model", "budget_ms", "queue_ms", "decode_ms", "infer_ms", "expected_top1",
)  # fmt: skip
# Besides each of several answers: the whole time at the server, and whether no better one follows.
SERVER_MS, FINAL = "server_ms", "final"

# Whoever wants more classes wants the model's own output: ImageNet has 1000.
MOST_CLASSES = 1000
# The smallest share of a picture that can be meant: a hundredth of its side shows nothing.
LEAST_CROPPED = 0.01
# Models that may answer one request. Each holds a worker: more would starve others of them.
MOST_ANSWERS = 8
