"""VGG-19: the 4,096 features of its last hidden layer, which most papers of the field use."""

from __future__ import annotations

from tfxmodal.encoders.image.applications import behind_preprocessing, load_weights
from tfxmodal.encoders.image.image_encoder import ImageEncoder, Preprocessing
from tfxmodal.encoders.weights import hash_weights
from tfxmodal.lazy import keras

LICENSE = "Creative Commons Attribution (Visual Geometry Group, Oxford; ported by Keras)"


def load(weights: str = "imagenet") -> ImageEncoder:
    """VGG-19 up to fc7 (Keras: "fc2"), after its ReLU; its map is pool5, 7 x 7 x 512.

    Simonyan and Zisserman, "Very Deep Convolutional Networks", ICLR 2015. Pictures are resized to
    256 x 256 and cropped to 224 x 224 (DRSL, section 3.2.1); then BGR, less the mean of ImageNet.

    Args:
        weights: "imagenet" (575 MB, downloaded by Keras), "random", or the path of the weights with
            the classifier, as Keras gives them (`vgg19_weights_tf_dim_ordering_tf_kernels.h5`).

    Raises:
        InputError: If the weights cannot be had.
    """
    module = keras.applications.vgg19
    vgg19 = load_weights(lambda kind: module.VGG19(weights=kind), weights, "VGG19")
    fc7 = keras.Model(vgg19.input, vgg19.get_layer("fc2").output)
    model = behind_preprocessing(fc7, module, "vgg19")
    pool5 = keras.layers.Reshape([49, 512])(vgg19.get_layer("block5_pool").output)
    return ImageEncoder(
        name="vgg19",
        model=model,
        preprocessing=Preprocessing(256, 224, f"{module.__name__}.preprocess_input"),
        weights_hash=hash_weights(model),
        map_model=behind_preprocessing(keras.Model(vgg19.input, pool5), module, "vgg19_map"),
        license=LICENSE if weights == "imagenet" else None,
    )
