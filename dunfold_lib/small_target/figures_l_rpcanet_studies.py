"""The studies of the chapter on L-RPCANet: one part at a time, stages, and noise; its quoted
numbers.

Each function returns what ``show.page`` or ``show.table`` takes, read from
``results/small_target``.
"""

from collections.abc import Sequence

from dunfold_lib import records
from dunfold_lib.show import Curves, line
from dunfold_lib.small_target import evaluation
from dunfold_lib.small_target import figures_l_rpcanet as figures
from dunfold_lib.small_target.data import DENSITIES, SIGMAS
from dunfold_lib.small_target.figures_l_rpcanet_maps import count
from dunfold_lib.small_target.figures_l_rpcanet_printed import SETS
from dunfold_lib.small_target.figures_l_rpcanet_tables import (
    AGAINST,
    MAIN,
    RECIPES,
    cell,
    common,
    gap,
    in_each,
    of,
    one,
    with_interval,
    words,
)
from dunfold_lib.small_target.model import LRPCANet, Network, RPCANet, TwoTerm, macs
from dunfold_lib.small_target.published import PUBLISHED_SE, PUBLISHED_SIRST, PUBLISHED_STAGES
from dunfold_lib.tables import Table, mean, minus_sign

PLAIN = ("robust-lrpcanet", "cpu-sirst")
LARGE = figures.LARGE
LEAST_SHARE = 0.85  # of the published IoU: below it a sentence ranks nothing
ABLATION = {"": "se-none", "B": "se-B", "BT": "se-BT", "BTN": "se-BTN", "BTND": "se-BTND"}
STAGES = {
    1: "stages-1",
    2: "stages-2",
    3: "stages-3",
    4: "stages-4",
    5: "stages-5",
    6: "stages-6",
    7: "stages-7",
}
VARIANTS = {
    "L-RPCANet": "lipschitz",
    "N = 0 in each stage": "noise-not-carried",
    "no N at all (TwoTerm)": "robust-two-term",
    "narrow merge, d = c/4": "narrow-merge",
    "RPCANet": "robust-rpcanet",
}
NOISY = {"": "clean crops", "-noise": "crops with noise"}  # the ends of the names below
ROBUST = {
    "L-RPCANet": {"": "robust-lrpcanet", "-noise": "robust-lrpcanet-noise"},
    "without N": {"": "robust-two-term", "-noise": "robust-two-term-noise"},
    "RPCANet": {"": "robust-rpcanet", "-noise": "robust-rpcanet-noise"},
}
STUDIED = (*ABLATION.values(), *VARIANTS.values(), "stages-1", "stages-3")


def minus_plain(name: str, recipe: str) -> str:
    """The ``gap`` to the plain network in words; "plain" for itself."""
    plain = (PLAIN[0], recipe)
    seen = lambda name, recipe: evaluation.pixels(name, recipe=recipe)
    same = seen(name, recipe) == seen(*plain)
    return "plain" if same else words(*gap((name, recipe), plain))


def _dead(name: str, recipe: str) -> str:
    return f"{one(name, 'dead', recipe)} of {one(name, 'maps', recipe)}"


def ablation() -> Table:
    """Squeeze-and-excitation in one module after the other."""
    recipe = common(ABLATION.values())
    rows = [
        [
            letters or "none",
            f"{count(LRPCANet(se=letters)):,}",
            f"{PUBLISHED_SE[letters]['nudt'][0]:.2f}",
            with_interval(name, recipe, "_chosen"),
            minus_plain(name, recipe),
            cell(name, "fa_1e-5_chosen", recipe),
            _dead(name, recipe),
        ]
        for letters, name in ABLATION.items()
    ]
    return (
        ["SE in", "parameters", "published IoU", "our IoU", "minus plain", "Fa", "dead"],
        rows,
        "Parameters of the paper's size; published on NUDT-SIRST, ours on SIRST v1: "
        f"{RECIPES[recipe]}; – : not measured",
    )


def stages() -> Curves:
    """IoU against the number of stages: published on three sets, ours on SIRST v1."""
    recipe = common(STAGES.values())
    found = {K: of(name, "iou", recipe) for K, name in STAGES.items()}
    ours = {K: mean(v) for K, v in found.items() if v}
    lines = [
        line([*STAGES], [PUBLISHED_STAGES[K][s][0] for K in STAGES], f"published, {t}", i, "path")
        for i, (s, t) in enumerate(SETS.items())
    ]
    if ours:
        lines.append(line([*ours], [*ours.values()], "ours, SIRST v1", 3, "path"))
    return Curves(
        tuple(lines),
        "stages K",
        "IoU, %",
        ylim=(20, 100),
        size=(5.4, 3.6),
        alt="IoU against the number of stages, published on three sets and ours on SIRST v1",
    )


def variants() -> Table:
    """N carried, not carried, left out; a narrower merge; RPCANet."""
    light = LRPCANet(), LRPCANet(carry_noise=False), TwoTerm(), LRPCANet(d=8)
    large: Sequence[Network] = (*light, RPCANet())
    recipe = common(VARIANTS.values())
    rows = [
        [
            label,
            f"{count(net):,}",
            f"{macs(net) / 1e9:.1f}",
            with_interval(name, recipe, "_chosen"),
            minus_plain(name, recipe),
            cell(name, "pd_chosen", recipe),
            _dead(name, recipe),
        ]
        for (label, name), net in zip(VARIANTS.items(), large, strict=True)
    ]
    return (
        ["", "parameters", "GMAC at 256²", "IoU", "minus plain", "Pd", "dead"],
        rows,
        "Parameters and work of the paper's size; scores on SIRST v1: "
        f"{RECIPES[recipe]}; – : not measured",
    )


def _robust_recipe() -> str:
    names = [row[end] for end in NOISY for row in ROBUST.values()]
    return common(names, "iou_sigma")


def _robust(key: str, levels: Sequence[float], xlabel: str, scale: float) -> Curves:
    recipe, lines = _robust_recipe(), []
    for colour, (label, names) in enumerate(ROBUST.items()):
        for end, told in NOISY.items():
            if found := of(names[end], key, recipe):
                curve = [mean(v) for v in zip(*found, strict=True)]
                style = "path" if end else "dashed"
                at = [scale * v for v in levels]
                lines.append(line(at, curve, f"{label}, {told}", colour, style))
    return Curves(
        tuple(lines),
        xlabel,
        "IoU, %",
        ylim=(-2, 80),
        size=(4.6, 3.6),
        alt=f"IoU against {xlabel} for three networks, trained on clean and on noisy crops",
    )


def robust() -> list[Curves]:
    """IoU against the level of Gaussian noise, and of salt and pepper."""
    return [
        _robust("iou_sigma", SIGMAS, "Gaussian noise, σ · 255", 1),
        _robust("iou_density", DENSITIES, "salt and pepper, % of pixels", 100),
    ]


def robust_areas() -> Table:
    """The mean IoU over the levels of both noises."""
    recipe = _robust_recipe()
    columns = [(area, end) for area in ("area_sigma", "area_density") for end in NOISY]
    rows = [
        [label, *(cell(names[end], area, recipe) for area, end in columns)]
        for label, names in ROBUST.items()
    ]
    heads = ["Gaussian, clean crops", "Gaussian, noisy crops", "salt and pepper, clean", "noisy"]
    return (
        ["mean IoU over the levels", *heads],
        rows,
        f"Area under each curve over its width, in %; {RECIPES[recipe]}; – : not measured",
    )


def told(names: str) -> str:
    """What the networks of a figure are: ``stages`` or ``robust``."""
    return RECIPES[_robust_recipe() if names == "robust" else common(STAGES.values())]


# the numbers of the sentences


def gain(name: str, end: str = "") -> float:
    """Points of IoU that a cut chosen on validation brings a detector."""
    return mean(of(name, "iou_chosen" + end)) - mean(of(name, "iou" + end))


def area(label: str, kind: str, end: str = "-noise") -> float:
    """Mean IoU over the levels of a noise, "sigma" or "density", of a narrow network."""
    found: float = one(ROBUST[label][end], f"area_{kind}")
    return found


def fewest(names: Sequence[str]) -> int:
    """Narrow trainings of that of the experiments which has fewest."""
    return min(len(of(n, "iou", "cpu-sirst")) for n in names)


def share_reached() -> float:
    """IoU of the narrow L-RPCANet in per cent of the one that is published for RPCANet."""
    name, recipe = MAIN
    return 100 * mean(of(name, "iou", recipe)) / PUBLISHED_SIRST["RPCANet"][0]


def quotes() -> dict[str, str]:
    """The numbers that the page's sentences quote."""
    return (
        quoted_large()
        | _quoted_half_pixel()
        | _quoted_maps()
        | _quoted_detections()
        | _quoted_made_up()
        | _quoted_studies()
    )


def listed(scores: Sequence[float]) -> str:
    """Scores in a sentence: "63.1, 63.5 and 61.5"."""
    *most, last = (f"{v:.1f}" for v in scores)
    return f"{', '.join(most)} and {last}" if most else last


def quoted_large() -> dict[str, str]:
    """What the sentences on the networks of the paper's size quote."""
    ours, theirs = (of(n, "iou", LARGE) for n in ("lrpcanet-sirst", "rpcanet-sirst"))
    published = PUBLISHED_SIRST["RPCANet"][0]
    ahead = "L-RPCANet is ahead in every pair of trainings"
    trained = min(mean(ours), mean(theirs)) >= LEAST_SHARE * published
    share = f"RPCANet has {100 * mean(theirs) / published:.0f} % of its published IoU, less than 85"
    trainings = "recorded: " + in_each(min(len(ours), len(theirs)))
    open_yet = f"not decided here ({trainings}" + (")" if trained else f"; {share})")
    runs = records.recorded("small_target/lrpcanet-sirst")
    spent = [r["seconds"] / 60 for r in runs if r["recipe_name"] == LARGE]
    longer, last = (of("lrpcanet-sirst", "iou", r) for r in ("gpu-long", "gpu-continued"))
    aligned = of("lrpcanet-sirst", "iou", "aligned")
    better = "more in each training than in any before"
    unclear = f"not decided here (recorded: {in_each(min(len(aligned), len(last)))})"
    return {
        "full_iou": listed(ours),
        "long_iou": listed(longer),
        "last_iou": listed(last),
        "aligned_iou": listed(aligned),
        "aligned_order": better if records.ranks(aligned, last) else unclear,
        "long_seeds": in_each(min(map(len, (longer, last, ours)))),
        "full_rpcanet": listed(theirs),
        "full_order": ahead if trained and records.ranks(ours, theirs) else open_yet,
        "full_minutes": f"{max(spent):.0f}",
        "full_share": f"{100 * mean(ours) / published:.0f}",
        "full_lead": words(*gap(("lrpcanet-sirst", LARGE), AGAINST["PSTNN"])),
    }


def _quoted_half_pixel() -> dict[str, str]:
    told = lambda key, recipe: listed(of("lrpcanet-sirst", key, recipe))
    masks = one("half-pixel", "iou", "")
    return {
        "half_pixel": f"{masks:.1f}",
        "continued_straight": told("iou_straight", "gpu-continued"),
        "aligned_straight": told("iou_straight", "aligned"),
        "whole_iou": told("iou", "whole-frames"),
    }


def _quoted_maps() -> dict[str, str]:
    rank, *others = one("lipschitz", "rank_B")
    return {
        "awake_dead": str(one("lrpcanet-sirst", "dead", "sirst-awake")),
        "main_dead": str(one("lrpcanet-sirst", "dead")),
        "plain_dead": str(one("robust-lrpcanet", "dead")),
        "rank_image": f"{rank:.1f}",
        "rank_stages": ", ".join(f"{v:.1f}" for v in others),
    }


def _quoted_detections() -> dict[str, str]:
    name, recipe = MAIN
    runs = records.recorded(f"small_target/{name}")
    run = next(r for r in runs if r["recipe_name"] == recipe)
    return {
        "narrow_numbers": f"{run['parameters']:,}",
        "narrow_minutes": f"{run['cpu_seconds'] / 60:.0f}",
        "narrow_seeds": in_each(fewest(("lrpcanet-sirst", "rpcanet-sirst"))),
        "narrow_share": f"{share_reached():.0f}",
        "pstnn_gain": f"{gain('pstnn-sirst'):.0f}",
        "mpcm_gain": f"{gain('mpcm-sirst'):.0f}",
        "lead_usual": words(*gap(MAIN, AGAINST["PSTNN"], "")),
        "lead_chosen": words(*gap(MAIN, AGAINST["PSTNN"])),
    }


def _quoted_made_up() -> dict[str, str]:
    name = MAIN[0]
    return {
        "made_up_pd": f"{one(name, 'pd', 'cpu'):.0f}",
        "made_up_iou": f"{one(name, 'iou', 'cpu'):.0f}",
        "made_up_chosen": f"{one(name, 'iou_chosen', 'cpu'):.0f}",
        "pstnn_gain_made_up": f"{gain('pstnn-sirst', '_synthetic'):.0f}",
        "hat_pd": f"{mean(of('top-hat-sirst', 'pd_synthetic')):.0f}",
    }


def _quoted_studies() -> dict[str, str]:
    names = [row[end] for end in NOISY for row in ROBUST.values()]
    points = PUBLISHED_SE[""]["nudt"][0] - PUBLISHED_SE["BTND"]["nudt"][0]
    added = [area("L-RPCANet", kind) - area("without N", kind) for kind in ("sigma", "density")]
    return {
        "study_seeds": in_each(fewest(STUDIED)),
        "se_none": words(*gap(("se-none", "cpu-sirst"), PLAIN)),
        "se_paper": minus_sign(f"{points:.0f}"),
        "stages_gap": words(*gap(("stages-3", "cpu-sirst"), ("stages-1", "cpu-sirst"), "")),
        "depth_few": ", ".join(f"{v:.0f} % at K = {K}" for K, v in depth_shares().items()),
        "senrm_adds": " and ".join(minus_sign(f"{v:.1f}") for v in added),
        "robust_seeds": in_each(fewest(names)),
        "clean_sigma": _areas("sigma", ""),
        "clean_density": _areas("density", ""),
        "noisy_sigma": _areas("sigma", "-noise"),
        "noisy_density": _areas("density", "-noise"),
    }


def depth_shares() -> dict[int, float]:
    """By K: IoU of the networks of the last explorer on its made-up scenes, without noise."""
    truth = figures.many().mask[: figures.FEW]
    return {K: figures.share(figures._deep(K, "none") > 0, truth) for K in figures.depths()[1]}


def _areas(kind: str, end: str) -> str:
    *most, last = (f"{area(label, kind, end):.1f}" for label in ROBUST)
    return f"{', '.join(most)} and {last}"
