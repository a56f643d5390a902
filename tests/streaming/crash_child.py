"""A pipeline that runs until it is killed: `python -m tests.streaming.crash_child BOOTSTRAP DATA_DIR`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from streaming.catalogue import Catalogue
from streaming.pipeline import LivePipeline
from streaming.session import build_session
from streaming.settings import PipelineSettings

if __name__ == "__main__":
    bootstrap, data = sys.argv[1], Path(sys.argv[2])
    spark = build_session("crash", driver_memory="1g", scratch=data)
    LivePipeline.start(spark, Catalogue.load(), bootstrap, data, PipelineSettings(history_every_s=1.0, trigger_ms=100))
    time.sleep(1500)
