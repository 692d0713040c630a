"""The four sparse chapters: what their sentences say of records, sizes and settings."""

from itertools import pairwise

import pytest
import torch

from dunfold_lib import records
from dunfold_lib.sparse import ALISTA, LISTA, LISTACP, HyperLISTA, TiLISTA, theory
from dunfold_lib.sparse import figures_ista_pictures as pictures
from dunfold_lib.sparse import figures_learned_tables as tables
from dunfold_lib.sparse.data import SparseProblem
from dunfold_lib.sparse.experiments import EXPERIMENTS


def each(name):
    """Recorded NMSE in decibels: the lower is ahead."""
    found = tables.each(name)
    assert found, f"sparse/{name} is not recorded"
    return found


@pytest.mark.parametrize(
    "kind, size",
    [(LISTA, 6_000_016), (LISTACP, 2_000_016), (TiLISTA, 125_032), (ALISTA, 32), (HyperLISTA, 3)],
)
def test_the_networks_hold_as_many_numbers_as_the_pages_table_says(kind, size):
    """The table of ALISTA's page; "six million numbers"."""
    net = kind(SparseProblem().operator())
    assert sum(p.numel() for p in net.parameters()) == size
    if kind is LISTA:
        assert size == 16 * (250 * 500 + 500 * 500) + 16


@pytest.mark.parametrize("name, least", [("ista", -6), ("fista", -8)])
def test_sixteen_steps_of_ista_and_fista_are_the_published_ones(name, least):
    """Sentence: "Sixteen steps bring ISTA less than 6 dB below doing nothing, and FISTA less than
    8"."""
    for value in each(name):
        assert abs(value - EXPERIMENTS[name].published["nmse_db"]) < 0.3
        assert value > least


@pytest.mark.parametrize(
    "worse, better",
    [
        *pairwise(("ista-lam0.2", "fista-lam0.2", "lista", "lista-cp", "alista", "alista-ss")),
        ("lista", "lista-analytic"),
        *(("lista-cp", name) for name in ("lista-cpss", "tilista", "hyperlista", "alista-ss")),
    ],
)
def test_what_the_pages_rank_is_ranked_by_every_seed(worse, better):
    """Sentences: "so the start alone is worth … dB, over three seeds"; what the coupling, the
    analytic weights and support selection bring to grown networks."""
    assert records.ranks(each(worse), each(better))


@pytest.mark.parametrize(
    "one, other",
    [
        ("lista", "race-lista-end-to-end"),
        ("lista-analytic", "race-lista-analytic-end-to-end"),
        ("lista-analytic", "race-lista-ss"),
        ("race-alista-end-to-end", "race-alista-ss-end-to-end"),
        ("race-alista-ss-end-to-end", "alista-ss"),
        ("alista-ss", "alista-ss-lp"),
        ("hyperlista", "hyperlista-lp"),
    ],
)
def test_what_growth_the_loss_selection_and_the_lps_weights_bring_is_not_decided(one, other):
    """Sentences "Not decided here" of LISTA's and ALISTA's pages."""
    assert records.undecided(each(one), each(other))


@pytest.mark.parametrize("free, coupled", [row[2:] for row in tables.COUPLED])
def test_at_equal_training_the_coupling_is_not_decided(free, coupled):
    """Sentence: "Not decided here: which is ahead at equal training"."""
    assert records.undecided(tables.each(free), tables.each(coupled))


@pytest.mark.parametrize("condition", list(tables.CONDITIONS))
def test_the_order_of_networks_in_a_condition_is_not_decided(condition):
    """Sentence: "Not decided here: any order of networks in this table"."""
    assert records.undecided(*(each(m + condition) for m in tables.METHODS[2:]))


def test_the_learned_thresholds_of_lista_cp_fall_along_the_layers():
    """Caption: "large thresholds first, small ones last"."""
    theta = tables.coupled_layers()[1].lines[1].y
    assert theta[0] > 2 * theta[-1]


def test_with_a_bad_matrix_fista_loses_for_each_of_three_draws():
    """Sentence: "With an ill-conditioned A FISTA loses … dB, for each of three draws"."""
    bent = [v - 3 for v in each("fista-lam0.2-cond50")]
    assert len(bent) == 3
    assert records.ranks(bent, each("fista-lam0.2"))


def test_hyperlistas_error_does_not_change_with_the_signals_size():
    """Sentence: "HyperLISTA's scale with the measurement, so its error in decibels does not
    change"."""
    for shift, trained in zip(tables.each("hyperlista", "shift"), each("hyperlista"), strict=True):
        for key in ("amplitude 0.1", "amplitude 10"):
            assert shift[key] == pytest.approx(trained, abs=0.01)


def test_the_singular_values_of_a_do_not_occur_in_the_analytic_product():
    """Sentence: "WᵀA is D times the projection on the rows of A, in which its singular values do
    not occur"."""
    problem = SparseProblem(m=25, n=50, condition=1000, dtype=torch.float64)
    A = problem.operator().A
    _, values, V = torch.linalg.svd(A, full_matrices=False)
    gram, projection = theory.analytic_weights(A).T @ A, V.T @ V
    expected = projection / projection.diag()[:, None]
    torch.testing.assert_close(gram, expected, rtol=0, atol=1e-8)
    assert values[0] > 100 * values[-1]


def test_what_is_quoted_is_recorded():
    for quotes in (tables.lista_quotes(), tables.lista_cp_quotes(), tables.alista_quotes()):
        assert all(text and "nan" not in text for text in quotes.values())
    lista = tables.lista_quotes()
    gain = float(lista["grown"].replace("−", "-")) - float(lista["analytic"].replace("−", "-"))
    assert float(lista["start_gain"]) == pytest.approx(gain, abs=0.11)


def test_every_table_has_a_cell_for_every_column():
    made = [tables.published(), tables.lista_recipes(), tables.coupled_scores()]
    made += [tables.equal_training(), tables.grown(), tables.shifts(), tables.conditions()]
    for head, rows, caption in made:
        assert rows
        assert all(len(row) == len(head) for row in rows)
        assert caption


def test_the_path_is_coloured_by_the_true_support():
    codes = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 2.0, 0.0]]).double()
    made = pictures.solution_path([2.0, 1.0, 0.5], codes, torch.tensor([False, True, False]))
    assert [(c.label, c.colour) for c in made.lines] == [
        ("in the support of x*", 0),
        ("not in it", 1),
    ]
    assert made.lines[0].y.tolist() == [0, 1, 2]
    assert made.lines[0].x.tolist() == [1, 0.5, 0.25]
