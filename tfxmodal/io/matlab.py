"""Arrays of MATLAB files; the libraries for them are imported here, where one is read."""

from pathlib import Path

import numpy as np

from tfxmodal.errors import first_line


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a MATLAB file of any version, by name; sparse matrices become dense.

    Raises:
        ValueError: If an array holds no numbers. Damage raises what SciPy and h5py raise.
    """
    import h5py
    import scipy.io
    import scipy.sparse

    if h5py.is_hdf5(path):  # MATLAB 7.3 writes HDF5, columns first.
        with h5py.File(path) as file:
            found = file.items()
            return {name: _of_hdf5(name, item) for name, item in found if not name.startswith("#")}
    try:
        found = scipy.io.loadmat(path)
    except scipy.io.matlab.MatReadError as error:
        raise ValueError(first_line(error)) from error
    return {
        name: array.toarray() if scipy.sparse.issparse(array) else array
        for name, array in found.items()
        if not name.startswith("__")
    }


def _of_hdf5(name: str, item) -> np.ndarray:
    """An array of MATLAB 7.3: a dataset, or of a sparse matrix a group of its parts."""
    import h5py
    import scipy.sparse

    if item is None:
        raise ValueError(f"{name} points nowhere")
    kind = item.attrs.get("MATLAB_class", b"double")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if kind in ("char", "cell", "struct", "string"):
        raise ValueError(f"{name} is a {kind} array; it must hold numbers")
    if isinstance(item, h5py.Dataset):
        array = item[()].T
        if array.dtype.names == ("real", "imag"):
            return array["real"] + 1j * array["imag"]
        return array
    if "MATLAB_sparse" not in item.attrs:
        raise ValueError(f"{name} is a group of {', '.join(item) or 'nothing'}, and no array")
    starts, rows = item["jc"][()], int(item.attrs["MATLAB_sparse"])
    if "data" not in item:  # all zeros
        return np.zeros((rows, len(starts) - 1))
    parts = item["data"][()], item["ir"][()], starts
    return scipy.sparse.csc_matrix(parts, (rows, len(starts) - 1)).toarray()
