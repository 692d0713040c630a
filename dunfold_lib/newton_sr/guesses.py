"""What a reader guesses before an explorer of the two chapters answers."""

from dunfold_lib.explore import Guess

CONDITIONING = Guess(
    "The condition of AAᵀ grows from 10 to 10⁷. Of ISTA, FISTA and the semi-smooth Newton method "
    "SSNAL, which one needs about as many steps as before?",
    ("ISTA", "FISTA", "SSNAL"),
    "SSNAL",
    "SSNAL hardly moves in the left panel. In the right panel it does: a Newton step holds more "
    "and more products with A. (ADMM factorises a matrix first, which makes it another matter.)",
)


PRIMAL = Guess(
    "Two elements for the curvature, and a large penalty, s = 3. After three Newton steps, which "
    "of them has the smaller ‖F‖?",
    ("Clarke's, the derivative", "the majorised one"),
    "the majorised one",
    "Set s to 3 and look at the third step. Then look at the last one, where the answer turns.",
)


STAGES = Guess(
    "Three networks of three stages, trained so that the last image is good. Is each image along "
    "the way better than the one before?",
    ("yes, for all three", "only for some of them, on some scenes", "never"),
    "only for some of them, on some scenes",
    "On the motorcycle's rear Newton's stages improve one by one, and the two others first make "
    "things worse. On the floor the first stage does harm in all three.",
)


JACOBIAN = Guess(
    "Replace the majorised curvature by Clarke's, keep all weights, and solve the system better "
    "and better. What happens to the image?",
    ("it gets better", "hardly anything", "it gets worse"),
    "it gets worse",
    "With Clarke's element more steps of CG make the image worse and worse; with the majorised "
    "one, better.",
)


PRODUCTS = Guess(
    "The network was trained with four steps of CG a stage. Give it sixteen, without training. "
    "What happens to the last image?",
    ("it gets much better", "it gets a little better", "it gets worse"),
    "it gets a little better",
    "What is left of the system falls a hundred times and more, the error of the image only a "
    "little: its directions have converged.",
)


def without_guide(whole: dict[str, float], none: dict[str, float]) -> Guess:
    """On which scene, rear or planes, the error grows more when the guide is taken away."""
    worst = max(whole, key=lambda n: none[n] / whole[n])
    choices = {"rear": "the real one, rear", "planes": "the made-up one, planes"}
    return Guess(
        "Take the guide away. On which scene does Newton's network miss it more?",
        tuple(choices.values()),
        choices[worst],
        "; ".join(f"{n}: RMSE {whole[n]:.2f} with the guide, {none[n]:.2f} without" for n in whole)
        + ". The network was trained on planes, whose guide says most.",
    )
