"""The page "Conclusions": its table and its sentences, against the records."""

from dunfold_lib import records, tables


def of(name: str, score: str, recipe: str) -> list[float]:
    found = [float(v) for v in records.values(name, score, recipe)]
    assert found, f"{name} is not recorded by {recipe}"
    return found


def test_alista_learns_32_numbers_and_lista_millions():
    """Sentence: "ALISTA computes its matrix and learns 32 numbers"."""
    sizes = {n: records.recorded(f"sparse/{n}")[0]["parameters"] for n in ("alista", "lista")}
    assert sizes["alista"] == 32
    assert sizes["lista"] > 10**6


def test_computed_weights_with_selection_are_ahead_of_learned_ones():
    """Row: "what may be computed need not be learned"."""
    computed, learned = (of(f"sparse/{n}", "nmse_db", "cpu") for n in ("alista-ss", "lista"))
    assert records.ranks(learned, computed)  # decibels of error


def test_four_networks_have_their_papers_size_and_one_leads_less_over_a_solved_total_variation():
    """Sentences: "ISTA-Net, ISTA-Net+, RPCANet and L-RPCANet are recorded at their papers' size,
    too"; "its lead over a well-solved total variation is smaller than over the papers'
    baselines"."""
    (ours,) = of("imaging/istanet-plus-25", "psnr", "gpu-short")
    sizes = {
        "imaging/istanet-25": 171_090,
        "imaging/istanet-plus-25": 336_978,
        "small_target/rpcanet-sirst": 679_896,
        "small_target/lrpcanet-sirst": 215_916,
    }
    for name, count in sizes.items():
        runs = [r for r in records.recorded(name) if r["recipe_name"] == "gpu-short"]
        assert {r["parameters"] for r in runs} == {count}, name
    tv = tables.mean(of("imaging/tv-25", "psnr", ""))
    assert 27.92 < tv < ours  # TVAL3, as the paper prints it


def test_two_sweeps_are_a_strong_baseline():
    """Row: "two classical sweeps are a strong baseline": within half a decibel at σ = 50."""
    net = tables.mean(of("hyperspectral/star", "psnr_50", "cpu"))
    classical = tables.mean(of("hyperspectral/star-classical", "psnr_50", ""))
    assert abs(net - classical) < 0.5
