"""What a reader guesses before an explorer of L-RPCANet's chapter answers."""

from dunfold_lib.explore import Guess

STAGES = Guess(
    "Each stage makes a T of its own. Which of them find the targets, without noise?",
    ("all, a little better each", "the first already", "only the last"),
    "only the last",
    "Only the last T is ever asked for a mask, by the loss. Move the stage: those before "
    "it find almost nothing above zero.",
)


LARGE = Guess(
    "Each stage makes a T of its own. Which of them find the targets, without noise?",
    ("more and more of them do", "the first already", "only the last"),
    "more and more of them do",
    "Not the first, though only the last is ever asked for a mask: on the scene “cloud” "
    "the IoU rises from stage to stage. Move the stage to see it.",
)


THRESHOLD = Guess(
    "With noise of σ = 25/255 much is lost at the threshold 0. Which one brings it back?",
    ("a higher one", "a lower one", "none"),
    "none",
    "No other cut of the slider is better than 0 there. Salt and pepper is the exception: "
    "look at a cut near 6.",
)
