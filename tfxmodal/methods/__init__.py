"""Methods, each one file with a config dataclass, its networks or its fit, and a `SPEC`.

A new method is such a file and its line below.
"""

from importlib import import_module

from tfxmodal.methods.spec import Fitted, MethodSpec

FILES = (
    "gradient.scl",
    "gradient.drsl",
    "closed_form.ridge_cca",
    "closed_form.pls",
    "closed_form.semantic_matching",
    "closed_form.zero_shot",
    "closed_form.chance",
    "closed_form.cca",
    "closed_form.mcca",
    "closed_form.kcca",
    "gradient.dcca",
    "gradient.dccae",
    "gradient.dual_path",
    "closed_form.jrl",
    "closed_form.gss_sl",
    "gradient.smln",
    "closed_form.mvda",
    "closed_form.mvda_vc",
    "gradient.deep_sm",
    "gradient.dscmr",
    "gradient.sdml",
    "gradient.mrl",
    "gradient.fgcrossnet",
    "gradient.mcsm",
    "gradient.distil",
    "adversarial.acmr",
    "adversarial.cm_gans",
    "staged.cmdn",
    "staged.ccl",
)

METHODS: dict[str, MethodSpec] = {
    spec.name: spec for spec in (import_module(f"{__name__}.{file}").SPEC for file in FILES)
}

__all__ = ["METHODS", "Fitted", "MethodSpec"]
