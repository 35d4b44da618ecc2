"""What of Keras a network's config may name: what computes, and runs nothing that a file brings or points to."""

from __future__ import annotations

import re


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Not among them: Lambda, and the layers of other frameworks, which hold code; TFSMLayer, and layers that look words up,
# which read other files. `tests/converters/sources/test_harmless.py` says so of every layer of the Keras installed.
LAYERS = _names(
    """
    Functional InputLayer Model Sequential
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average BatchNormalization
    Bidirectional CategoryEncoding CenterCrop Concatenate CustomScaleLayer Dense Discretization Dot Dropout ELU
    EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GroupNormalization GroupQueryAttention
    Identity LSTM LSTMCell Layer LayerNormalization LayerScale LeakyReLU LocallyConnected1D LocallyConnected2D Masking
    Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN ReLU RepeatVector
    Rescaling Reshape Resizing ReversibleEmbedding SimpleRNN SimpleRNNCell Softmax SpectralNormalization
    StackedRNNCells StochasticDepth Subtract ThresholdedReLU TimeDistributed UnitNormalization Wrapper
    AugMix AutoContrast ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization MaxNumBoundingBoxes MixUp
    Pipeline RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop
    RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale RandomHeight RandomHue
    RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomWidth RandomZoom Solarization
    MelSpectrogram STFTSpectrogram
    """
)
# Those that there are for one, two and three dimensions.
_OF_DIMENSIONS = re.compile(
    r"(?:(?:Global|Adaptive)?(?:Average|Avg|Max)Pool(?:ing)?|(?:Separable|Depthwise)?Conv(?:olution)?|ConvLSTM"
    r"|Conv(?:olution)?(?=..Transpose)|Cropping|SpatialDropout|UpSampling|ZeroPadding)[123]D(?:Transpose)?"
)
# What layers are made with, and how values are told in a config.
_PARTS = _names(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform IdentityInitializer LecunNormal LecunUniform Ones Orthogonal
    OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal VarianceScaling Zeros
    L1 L1L2 L2 OrthogonalRegularizer
    MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm
    AWQDTypePolicy DTypePolicy DTypePolicyMap FloatDTypePolicy GPTQDTypePolicy Int4DTypePolicy Policy PolicyV1
    QuantizedDTypePolicy QuantizedFloat8DTypePolicy
    SeedGenerator
    TensorShape __ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__
    """
)
# Functions that layers activate with.
ACTIVATIONS = _names(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
    sparsemax squareplus swish tanh tanh_shrink threshold
    """
)
# Modules all of whose classes train, or begin a training, and no more.
_OF_TRAINING = re.compile(r"(?:tf_)?keras\.(?:losses|metrics|optimizers(?:\.\w+)?)")
# Operations on tensors, which are layers where a network is made of calls: Keras 3's by their class, each in one of
# these modules, and Keras 2's by TensorFlow's name of the function.
_OPERATIONS = re.compile(r"keras\.src\.ops\.(?:core|einops|image|linalg|math|nn|numpy)")
_FUNCTIONS = re.compile(
    r"(?:compat\.v1\.)?(?:(?:math|nn|linalg|image|__operators__)\.[a-z]\w*"
    r"|broadcast_to|cast|clip_by_value|concat|constant|convert_to_tensor|expand_dims|fill|gather|gather_nd|identity"
    r"|one_hot|ones|ones_like|pad|range|repeat|reshape|reverse|roll|shape|size|slice|split|squeeze|stack|stop_gradient"
    r"|strided_slice|tile|transpose|unstack|where|zeros|zeros_like)"
)
_CLASS = re.compile(r"[A-Z]\w*")


def is_own(module: str, name: str) -> bool:
    """Whether Keras has such a class, which computes alone; an empty module: files of Keras 2 name none."""
    if module and module.split(".", maxsplit=1)[0] not in ("keras", "tf_keras"):
        return False
    if _OF_TRAINING.fullmatch(module) or _OPERATIONS.fullmatch(module):
        return bool(_CLASS.fullmatch(name))
    return name in LAYERS or name in _PARTS or bool(_OF_DIMENSIONS.fullmatch(name))


def is_operation(function: str) -> bool:
    """Whether a function of TensorFlow, by its name there, computes with tensors and does no more."""
    return bool(_FUNCTIONS.fullmatch(function))
