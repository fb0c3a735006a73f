"""Which colours, sizes and words has the picture? Data: contrast is held by a test (WCAG 2.1, 1.4.3)."""

from __future__ import annotations

from typing import NamedTuple

from inventories.records import Level, NodeRole, Plane, SiteRole

#: The picture is as wide as a screen of 1366 pixels leaves beside a scroll bar.
WIDTH = 1340
FONTS = "'Noto Sans CJK SC','Noto Sans SC','Source Han Sans SC','Microsoft YaHei','PingFang SC',sans-serif"

INK = "#16202e"
SOFT = "#4a5668"
NEUTRAL = "#6b7686"
PAPER = "#ffffff"
BAND = "#f3f6fa"
#: Colour and dashes: the planes are told apart without colour too.
PLANE_COLOURS = {Plane.A: "#0b5cad", Plane.B: "#b3470e"}
PLANE_DASHES = {Plane.B: "8 4"}
ALARM = "#b00020"
#: The private networks' colours, one after the other; each tag has its name too.
NETWORK_COLOURS = ("#6a1b9a", "#00695c", "#ad1457", "#5d4037", "#283593", "#827717")


class CardStyle(NamedTuple):
    """A card's header: its ground and the colour of the words on it; `dashes` of the card's border."""

    ground: str
    ink: str
    dashes: str = ""


PLAIN = CardStyle("#dfe7f1", INK)
TOWNSHIP = CardStyle("#e9edf2", INK)
CORE_STYLES = {
    Plane.A: CardStyle(PLANE_COLOURS[Plane.A], PAPER),
    Plane.B: CardStyle(PLANE_COLOURS[Plane.B], PAPER, PLANE_DASHES[Plane.B]),
    Plane.BOTH: CardStyle(SOFT, PAPER),
}
ROLE_STYLES = {
    SiteRole.PROVINCE: CardStyle("#37417a", PAPER),
    SiteRole.BORDER: CardStyle("#8c1d40", PAPER),
    SiteRole.CLOUD: CardStyle("#1d6a5a", PAPER),
    SiteRole.XINCHUANG: CardStyle("#1d6a5a", PAPER),
    SiteRole.BACKUP: CardStyle("#55606f", PAPER),
    SiteRole.OPERATIONS: CardStyle("#55606f", PAPER),
    SiteRole.OFFSITE: CardStyle("#e4dfee", INK, "3 3"),
}
ROLE_WORDS = {
    SiteRole.PROVINCE: "省级骨干",
    SiteRole.CORE: "城域核心",
    SiteRole.BORDER: "互联网接入区",
    SiteRole.CLOUD: "政务云",
    SiteRole.XINCHUANG: "信创云",
    SiteRole.BACKUP: "备份",
    SiteRole.OPERATIONS: "运维",
    SiteRole.OFFSITE: "异地备份",
    SiteRole.ACCESS: "接入",
}
LEVEL_WORDS = {
    Level.PROVINCE: "省级",
    Level.CITY: "市级",
    Level.COUNTY: "县级",
    Level.TOWNSHIP: "乡级",
    Level.VILLAGE: "村级",
}
PLANE_WORDS = {Plane.A: "A平面", Plane.B: "B平面", Plane.BOTH: "双平面共用"}
NODE_WORDS = {
    NodeRole.ROUTER: "路由器",
    NodeRole.CLOUD: "云节点",
    NodeRole.BACKUP: "备份节点",
    NodeRole.OFFSITE: "异地备份节点",
    NodeRole.OPERATIONS: "运维节点",
    NodeRole.AGENT: "县级监测节点",
    NodeRole.CLIENT: "终端",
}
