"""Cross-modal retrieval in TensorFlow and Keras: images find texts, texts find images.

The public names below are imported when they are first used; TensorFlow is, too.
"""

from importlib import import_module

PUBLIC = {
    "errors": ("InputError",),
    "data": ("Dataset", "Pairs", "load_dataset"),
    "inputs.config": ("DataConfig",),
    "methods": ("METHODS", "MethodSpec"),
    "api": ("evaluate", "train"),
    "training.settings": ("Settings",),
    "training.experiment": ("RunResult", "run_experiment"),
    "training.trained_run": ("TrainedRun", "load_run"),
    "search.run_index": ("RunIndex",),
    "serving.export.export": ("export_run",),
    "serving.client.client": ("Client",),
}
"""By module, the names that `import tfxmodal` offers."""

_MODULES = {name: module for module, names in PUBLIC.items() for name in names}
__all__ = sorted(_MODULES)  # noqa: PLE0605


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module 'tfxmodal' has no attribute {name!r}")
    return getattr(import_module(f"tfxmodal.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
