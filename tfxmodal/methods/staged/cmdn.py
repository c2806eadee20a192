"""CMDN: Cross-Media Multiple Deep Network (Peng, Huang, Qi, IJCAI 2016).

The paper could not be had: this is our reading of its released code
(PKU-ICST-MIPL/CMDN_IJCAI2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tfxmodal.errors import InputError, check_ranges
from tfxmodal.heads.autoencoder import autoencoder
from tfxmodal.heads.feature_network import feature_network
from tfxmodal.inputs.spec import MODALITIES, MethodInputs
from tfxmodal.lazy import keras, tf
from tfxmodal.losses.squared_distance import squared_distance
from tfxmodal.methods.few_labels import with_few_labels
from tfxmodal.methods.learner import Batch, Stage
from tfxmodal.methods.scaled_features import STANDARD, scaled_inputs
from tfxmodal.methods.spec import MethodSpec
from tfxmodal.methods.staged.staged_method import StagedConfig, StagedMethod


@dataclass(frozen=True)
class CMDNConfig(StagedConfig):
    """CMDN; the sources are the released code's numbers."""

    autoencoder_units: tuple[int, ...] = (1024, 512)
    """Units of the layers of each modality's stacked autoencoder (released code: 1024 512)."""

    joint_units: int = 2048
    """Units of the layer that joins both modalities (released code: 2,048)."""

    mean_field_steps: int = 2
    """Turns in which the modality that is missing is inferred (released code: 10, which take most
    of the time of a training)."""

    fused_units: int = 1024
    """Units of the layer over a modality's own code and the joint one (released code: 1,024)."""

    shared_units: tuple[int, ...] = (512, 256, 128, 64)
    """Units of the stacked bimodal autoencoders; the last are the dimensions of the common space
    (released code: 512 256 128 64)."""

    def __post_init__(self):
        super().__post_init__()
        positive = ("autoencoder_units", "joint_units", "fused_units", "shared_units")
        check_ranges(self, **dict.fromkeys(positive, "[1, inf)"), mean_field_steps="[0, inf)")
        for name in ("autoencoder_units", "shared_units"):
            if not getattr(self, name):
                raise InputError(f"`{name}` must name a layer at least; received none: give one.")


class CMDN(StagedMethod):
    """Two codes of each modality, its own and a joint one, and shared codes above both.

    Of an image x (a text likewise), stage by stage:

        separate:  a stacked autoencoder, x to s by ReLU layers, || D(s) - x ||^2; and two RBMs, x
                   to h, the first Gaussian, or of a text's counts a replicated softmax
        joint:     an RBM over [h_x; h_t] with hidden units j; of an image alone the text is
                   inferred by mean field, which gives j_x
        fused:     a Gaussian RBM over [s; j_x], standardised
        classes:   a ReLU network above its hidden units, standardised, with the cross-entropy of
                   the labels; its last hidden layer is u
        shared k:  a bimodal autoencoder, c = sigmoid(W_x u + W_t v + b), from each of (u, 0), (0,
                   v) and (u, v) to both: || D(c) - [u; v] ||^2 and the cross-entropy of the labels
                   above c; the next one reads sigmoid(W_x u + b) and sigmoid(W_t v + b)

    and the score is the cosine of the last codes, standardised by the training pairs. Each stage
    trains its own layers alone. Of several labels the cross-entropy is a sigmoid's for each class.
    Pairs without a label are left out.

    `layers` autoencoder, "CMDN (AE)", trains each RBM as a denoising autoencoder; it is ours.

    What the released code does otherwise: stages have 2,000 to 200,000 steps of SGD with momentum
    at rates of their own, some 10^6 in all, here `stage_epochs` of Adam at one rate, since one
    training is to end in minutes; it stacks the autoencoder's layers one by one, here they are
    trained together; RBMs have a sparsity target, and CD takes more steps in the end; mean field
    takes ten turns; codes are standardised by the test split. The layer under its class scores does
    not exist, and a loader's fault attaches them to the shared code; here they are there by intent.

    Codes are standardised by the batch in training, which is ours: after few epochs they differ too
    little for what reads them. Mean field starts from the known modality alone.

    A step of N pairs takes O(N P) time, for networks of P weights, and the joint layer counts
    `mean_field_steps` times in the stages above it; memory is O(P). Lower layers are computed again
    in every step, and nothing is kept on disk.

    Args:
        inputs: Widths of the features, and the number of classes.
        config: Hyper-parameters.
    """

    def __init__(self, inputs: MethodInputs, config: CMDNConfig):
        from tfxmodal.heads.rbm import LAYERS, JointCode

        super().__init__(config)
        units = {"image": config.image_units, "text": config.text_units}
        rows = {"image": "gaussian", "text": config.text_rows}
        self._joint = LAYERS[config.layers](config.joint_units, dtype=self.full)
        self._joint.build((None, sum(top for _, top in units.values())))
        self._separate, codes = [], {}
        for kind, features, scaled in scaled_inputs(inputs, config):
            stacked = feature_network(scaled.shape[-1], config.autoencoder_units)
            own = stacked(scaled)
            whole = autoencoder(features, scaled, own, config.autoencoder_units[:-1])
            self.networks[f"{kind}_autoencoder"] = whole
            self._separate += [stacked, whole.get_layer("decoder")]
            first, second = units[kind]
            hidden = self.machine(f"{kind}_first", first, rows[kind], features, scaled)
            hidden = self.machine(f"{kind}_second", second, "bernoulli", features, hidden)
            self.parts[f"{kind}_top"] = keras.Model(features, hidden)
            joint = JointCode(self._joint, kind == "image", config.mean_field_steps)(hidden)
            fused = keras.layers.Concatenate(dtype=self.full)([own, joint])
            fused, width = self.standardised(fused), config.fused_units
            fused = self.machine(f"{kind}_fused", width, "gaussian", features, fused)
            code = self.classifier(kind, features, fused, inputs.classes)
            self.parts[f"{kind}_shared_0"] = keras.Model(features, code)
            codes[kind] = features, code
        self._shared = [self._bimodal(k, codes, inputs.classes) for k in range(self._levels)]
        for kind, (features, code) in codes.items():
            self.encoder(kind, features, code)

    @property
    def _levels(self) -> int:
        return len(self.config.shared_units)

    def _bimodal(self, level: int, codes: dict, classes: int) -> tuple:
        """The layers of a bimodal autoencoder; replaces codes by those of either modality alone."""
        width, units = codes["image"][1].shape[-1], self.config.shared_units[level]
        encode = keras.layers.Dense(units, "sigmoid", dtype=self.full)
        decode = keras.layers.Dense(2 * width, dtype=self.full)
        classify = keras.layers.Dense(classes, dtype=self.full)
        both = keras.Input([2 * width], name="both")
        code = encode(both)
        self.networks[f"bimodal_{level}"] = keras.Model(both, [decode(code), classify(code)])
        for kind, (features, known) in codes.items():
            missing = keras.ops.zeros_like(known)
            pair = [known, missing] if kind == "image" else [missing, known]
            code = encode(keras.layers.Concatenate(dtype=self.full)(pair))
            self.parts[f"{kind}_shared_{level + 1}"] = keras.Model(features, code)
            codes[kind] = features, code
        return encode, decode, classify

    def stages(self) -> list[Stage]:
        """Separate codes, the joint one, fusion, classes, and the shared codes one by one."""
        first = [f"{kind}_first" for kind in MODALITIES]
        weights = dict.fromkeys([f"{kind}_reconstruction" for kind in MODALITIES] + first, 1.0)
        layers = [*self._separate, *(self.machines[name][0] for name in first)]
        shared = [
            self.stage(
                f"shared {level + 1}",
                partial(self.shared_terms, level),
                {"reconstruction": 1.0, "classes": 1.0},
                layers,
                last=level + 1 == self._levels,
            )
            for level, layers in enumerate(self._shared)
        ]
        return [
            self.stage("separate 1", self.separate_terms, weights, layers),
            self.machines_stage("separate 2", *(f"{kind}_second" for kind in MODALITIES)),
            self.stage("joint", self.joint_terms, {"joint": 1.0}, [self._joint]),
            self.machines_stage("fused", *(f"{kind}_fused" for kind in MODALITIES)),
            self.classes_stage(),
            *shared,
        ]

    def separate_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The stacked autoencoders, and the first RBMs."""
        terms = self.machine_terms([f"{kind}_first" for kind in MODALITIES], batch, replicas)
        both = zip(MODALITIES, self.embed(batch["pairs"], "autoencoder"), strict=True)
        for kind, (_, scaled, decoded) in both:
            terms[f"{kind}_reconstruction"] = squared_distance(decoded, scaled)
        return terms

    def joint_terms(self, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """The RBM over both modalities."""
        both = tf.concat(self.embed(batch["pairs"], "top"), axis=1)
        return {"joint": tf.reduce_mean(self._joint.row_losses(both, replicas))}

    def shared_terms(self, level: int, batch: Batch, replicas) -> dict[str, tf.Tensor]:
        """A bimodal autoencoder on images alone, on texts alone, and on both."""
        u, v = self.embed(batch["pairs"], f"shared_{level}")
        both = tf.concat([u, v], axis=1)
        rows = [tf.concat([u, tf.zeros_like(v)], axis=1), tf.concat([tf.zeros_like(u), v], axis=1)]
        decoded, logits = self.networks[f"bimodal_{level}"](tf.concat([*rows, both], axis=0))
        labels = tf.tile(batch["pairs"]["labels"], [3, 1])
        return {
            "reconstruction": squared_distance(decoded, tf.tile(both, [3, 1])),
            "classes": self.cross_entropy(logits, labels),
        }


SPEC = MethodSpec(
    name="cmdn",
    title="Cross-media multiple deep network",
    source="Peng et al., IJCAI 2016, by its released code PKU-ICST-MIPL/CMDN_IJCAI2016",
    setting="supervised",
    config=CMDNConfig,
    learner=CMDN,
    seen=with_few_labels,
    needs_labels=True,
    presets={
        "": {
            "method": STANDARD,
            "training": {"batch_size": 128, "learning_rate": 1e-3},
        }
    },
    preset_sources={"": "scaling and batch: the released code; learning rate: ours, for Adam"},
    search_space={
        "layers": ("rbm", "autoencoder"),
        "stage_epochs": (20, 50),
        "learning_rate": (1e-4, 1e-3),
    },
)
