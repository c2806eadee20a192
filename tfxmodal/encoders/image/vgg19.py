"""VGG-19: the 4,096 features of its last hidden layer, which most papers of the field use."""

from __future__ import annotations

from tfxmodal.encoders.image.applications import load_weights, with_preprocessing
from tfxmodal.encoders.image.image_encoder import ImageEncoder
from tfxmodal.lazy import keras


def load(weights: str = "imagenet") -> ImageEncoder:
    """VGG-19 up to fc7 (Keras: "fc2"), after its ReLU.

    Simonyan and Zisserman, "Very Deep Convolutional Networks", ICLR 2015. Pictures are resized to
    256 x 256 and cropped to 224 x 224 (DRSL, section 3.2.1); then BGR, less the mean of ImageNet.

    Args:
        weights: "imagenet" (575 MB, downloaded by Keras), "random", or the path of the weights with
            the classifier, as Keras gives them (`vgg19_weights_tf_dim_ordering_tf_kernels.h5`).

    Raises:
        InputError: If the weights cannot be had.
    """
    vgg19 = load_weights(lambda kind: keras.applications.VGG19(weights=kind), weights, "VGG19")
    network = keras.Model(vgg19.input, vgg19.get_layer("fc2").output)
    return with_preprocessing("vgg19", network, keras.applications.vgg19, resize=256)
