"""Writes one image with many processes or machines that share the sources.

    from concurrent.futures import ProcessPoolExecutor
    from ext4writer.distributed import write_parts

    layout.save("/shared/root.plan")
    with ProcessPoolExecutor(16) as executor:
        write_parts("/shared/root.plan", "/shared/root.img", executor, parts=64)

Any executor of :mod:`concurrent.futures` will do. For the machines of a cluster, use Dask's:
``dask.distributed.Client(...).get_executor()``. The extra ``ext4writer[distributed]`` installs it.
"""

from .work import PartsError, Result, write_parts

__all__ = ["PartsError", "Result", "write_parts"]
