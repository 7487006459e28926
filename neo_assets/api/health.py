"""Whether the API works, for what starts and watches it."""

from fastapi import APIRouter

from neo_assets.api.errors import UNAVAILABLE
from neo_assets.api.snapshots import Snapshots


def health(snapshots: Snapshots) -> APIRouter:
    """The paths that say whether the API works."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @router.get("/health/ready", responses={503: UNAVAILABLE})
    def ready() -> dict[str, str]:
        """Whether there is a snapshot to read."""
        with snapshots.current() as current:
            return {"status": "ready", "snapshot": current.about["snapshot_id"]}

    return router
