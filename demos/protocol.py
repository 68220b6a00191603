"""What the page asks of a demo: the Protocol that demos/<task>/tab.py fulfils, as a module."""

from typing import Protocol


class Tab(Protocol):
    """A tab of the page. app.py builds one for each name in demos.DEMOS; the start page introduces it.

    Importing the module must be quick: torch and the network are imported when they are first needed
    (demos.widgets.predict_module). docs/add_a_demo.md shows a whole one.
    """

    TITLE: str  # on the tab, one or two words
    PROMISE: str  # one sentence on the start page: what a visitor gets
    FIRST_CLICK: str  # CSS selector of what the start page clicks on to show a finished example

    def build(self) -> None:
        """Lay out the components and connect their events. Called once, inside the tab's gr.Tab.

        Networks answer with `**demos.widgets.NETWORK`, events of the page alone are `**INTERNAL`; one endpoint named
        after the task is the API and the MCP tool.
        """

    def warm_up(self) -> None:
        """Load the network, so that the first answer is quick. Raises ModelError when it cannot be had."""
