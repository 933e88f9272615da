"""Makes one image by many processes or machines that see the same sources.

    from concurrent.futures import ProcessPoolExecutor
    from ext4writer.distributed import write_parts

    layout.save("/shared/root.plan")
    with ProcessPoolExecutor(16) as executor:
        write_parts("/shared/root.plan", "/shared/root.img", executor, parts=64)

Any executor of :mod:`concurrent.futures` will do. Dask's, which has the machines of a cluster, is
``dask.distributed.Client(...).get_executor()``; the extra ``ext4writer[distributed]`` brings it.
"""

from .work import PartsError, Result, write_parts

__all__ = ["PartsError", "Result", "write_parts"]
