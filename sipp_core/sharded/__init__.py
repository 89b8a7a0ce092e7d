"""Networks larger than memory: blocks read from shards, pruned and written one at a time."""

from sipp_core.sharded.prune import prune_sharded
from sipp_core.sharded.result import ShardedResult
from sipp_core.sharded.skeleton import on_meta

__all__ = ["ShardedResult", "on_meta", "prune_sharded"]
