"""Colorizes whole data sets on Ray Data; a job that was killed goes on where it was.

parts.py            what a job is cut into, the same at every start
sources.py          which kind of input there is
image_folders.py  folders of images
tar_shards.py       tar shards of webdataset
parquet_files.py    parquet files
hub_data_sets.py    data sets of the Hub
file_names.py       where the image of a row goes in a folder
output.py           the folder of a job: finished parts, images, table of errors
attempts.py         rows that kill the process that works on them
colorizer.py        a pipeline with the arguments of a job
worker.py           works through parts
pool.py             workers on Ray: nothing else knows of it
job.py              all of it together
"""

from .colorizer import Recipe
from .job import Job, Summary, run
from .output import (
    OUTPUTS,
    FolderOutput,
    Output,
    ParquetOutput,
)
from .pool import Pool
from .sources import Source

__all__ = [
    "OUTPUTS",
    "FolderOutput",
    "Job",
    "Output",
    "ParquetOutput",
    "Pool",
    "Recipe",
    "Source",
    "Summary",
    "run",
]
