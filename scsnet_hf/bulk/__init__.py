"""Colorizes whole data sets on Ray Data; a job that was killed resumes by the same command.

source.py       which parts a data set consists of
parts.py        rows that one worker colorizes and writes in one go
tar_parts.py, parquet_parts.py, hub_parts.py       parts of shards and of data sets on the Hub
output.py       the folder of a job: finished parts, images, table of errors
colorizer.py    the pipeline with the settings of a job
worker.py       colorizes parts
ray_pool.py     workers on Ray; no other file knows of it
job.py          all of it together

Ray Data distributes the parts, but does not read or write them. Its readers lose a whole file, and
the reasons, when one row group or tar member is damaged, and number no rows. Its writers give files
random names, and leave half a file behind when they are killed.
"""

from .colorizer import ColorizerSettings
from .job import Job, Progress, run_job
from .output import OUTPUTS, FolderOutput, Output, ParquetOutput
from .ray_pool import RayPool
from .source import Source

__all__ = [
    "OUTPUTS",
    "ColorizerSettings",
    "FolderOutput",
    "Job",
    "Output",
    "ParquetOutput",
    "Progress",
    "RayPool",
    "Source",
    "run_job",
]
