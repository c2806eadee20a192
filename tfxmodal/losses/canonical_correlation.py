"""The sum of canonical correlations: the loss of deep CCA (Andrew et al., ICML 2013)."""

from __future__ import annotations

from tfxmodal.lazy import tf


def canonical_directions(images, between, texts):
    """CCA of covariances.

    With Cholesky factors S11 = L1 L1^T, S22 = L2 L2^T and the singular value decomposition
    L1^-1 S12 L2^-T = U diag(rho) V^T the directions are A = L1^-T U and B = L2^-T V.

    Args:
        images: S11, of full rank, `[k, k]` float64.
        between: S12, `[k, l]`.
        texts: S22, of full rank, `[l, l]`.

    Returns:
        A `[k, r]`, rho `[r]` in falling order, and B `[l, r]`, where r is the smaller of k and l:
        A^T S11 A = B^T S22 B = I and A^T S12 B = diag(rho).
    """
    left, right = tf.linalg.cholesky(images), tf.linalg.cholesky(texts)
    half = tf.linalg.triangular_solve(left, between)
    whitened = tf.linalg.triangular_solve(right, tf.linalg.matrix_transpose(half))
    rho, v, u = tf.linalg.svd(whitened)
    a = tf.linalg.triangular_solve(left, u, adjoint=True)
    return a, rho, tf.linalg.triangular_solve(right, v, adjoint=True)


def canonical_correlation(images, texts, ridge: float = 1e-4):
    """The sum of all canonical correlations of a batch, negated so that it is minimised.

        L = - sum_j rho_j = - || S11^-1/2 S12 S22^-1/2 ||_*
        S11 = H1^T H1 / (N - 1) + r I,   S12 = H1^T H2 / (N - 1),   S22 = H2^T H2 / (N - 1) + r I

    with H1 and H2 centred over the batch. It is computed in float64, with its gradient in closed
    form: for the directions A, B of `canonical_directions`

        dL/dH1 = (H1 A diag(rho) - H2 B) A^T / (N - 1)

    and the same for H2 with the sides exchanged. The automatic gradient divides by differences of
    eigenvalues, which makes NaN of equal ones. It takes O(N k^2 + k^3) time for k dimensions.

    Four other values circulate under this name: the Frobenius norm, the sum of rho^2, the trace of
    an elementwise root, and a sum of the smallest rho.

    Args:
        images: The networks' outputs for the images of the global batch, `[N, k]`; N exceeds k, or
            every rho is 1 but for the ridge.
        texts: Those for the texts, `[N, k]`.
        ridge: r, above 0 unless both covariances have full rank.

    Returns:
        A scalar. It does not split over rows: with several replicas it needs the gathered batch.
    """

    @tf.custom_gradient
    def loss(h1, h2):
        h1, h2 = (h - tf.reduce_mean(h, axis=0) for h in (h1, h2))
        degrees = tf.cast(tf.shape(h1)[0] - 1, h1.dtype)
        s11, s12, s22 = (
            tf.matmul(left, right, transpose_a=True) / degrees
            for left, right in ((h1, h1), (h1, h2), (h2, h2))
        )
        s11, s22 = (s + ridge * tf.eye(s.shape[0], dtype=s.dtype) for s in (s11, s22))
        a, rho, b = canonical_directions(s11, s12, s22)

        def gradient(upstream):
            x, y = h1 @ a, h2 @ b  # canonical variates, [N, k]
            return [
                upstream / degrees * tf.matmul(rho * own - other, directions, transpose_b=True)
                for own, other, directions in ((x, y, a), (y, x, b))
            ]

        return -tf.reduce_sum(rho), gradient

    value = loss(*(tf.cast(h, tf.float64) for h in (images, texts)))
    return tf.cast(value, images.dtype)
