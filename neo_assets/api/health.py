"""Whether the API works, for what starts and watches it."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from neo_assets.api.errors import UNAVAILABLE
from neo_assets.api.snapshots import Snapshots


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The API has a snapshot to read."""

    status: Literal["ready", "degraded"] = Field(
        description="`degraded` if the stored database is not the one that is served: an older snapshot answers."
    )
    snapshot: str = Field(description="Id of the snapshot that is served.")
    reasons: list[str] = Field(description="Why it is degraded; empty if it is not.")


def health(snapshots: Snapshots) -> APIRouter:
    """The paths that say whether the API works."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> Live:
        """Whether the process answers."""
        return Live()

    @router.get("/health/ready", responses={503: UNAVAILABLE})
    def ready() -> Ready:
        """Whether there is a snapshot to read, and whether it is the stored one. Without one, `detail` says why."""
        with snapshots.current() as current:
            reasons = [snapshots.trouble] if snapshots.trouble else []
            return Ready(
                status="degraded" if reasons else "ready", snapshot=current.about["snapshot_id"], reasons=reasons
            )

    return router
