from modelyard.core.tasks import Progress
from modelyard.training.story import MAX_BATCH, MAX_LINES, Story


def lines(*messages: object) -> list[Progress]:
    return [Progress(str(message)) for message in messages]


def test_lines_come_out_once_and_in_order() -> None:
    story = Story()
    story.add(lines(1, 2))
    story.add(lines(3))
    assert story.take() == lines(1, 2, 3)
    assert story.take() == []


def test_a_flood_is_thinned_to_lines_with_data_and_the_newest() -> None:
    story = Story()
    score = Progress("score", data={"r2": 0.9})
    story.add([score, *lines(*range(3 * MAX_BATCH))])
    taken = story.take()
    assert len(taken) == MAX_BATCH
    assert taken[0] == score
    assert taken[-1] == Progress(str(3 * MAX_BATCH - 1))


def test_a_long_story_goes_on_in_single_lines() -> None:
    story = Story()
    for _ in range(MAX_LINES // MAX_BATCH):
        story.add(lines(*range(MAX_BATCH)))
        assert len(story.take()) == MAX_BATCH
    story.add(lines("old", "new"))
    assert story.take() == lines("new")


def test_lines_that_could_not_be_stored_come_again_first() -> None:
    story = Story()
    story.add(lines(1, 2))
    taken = story.take()
    story.add(lines(3))
    story.put_back(taken)
    assert story.take() == lines(1, 2, 3)
