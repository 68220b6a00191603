"""The demos, in the order of their tabs. Adding one: a folder beside this file and its name here."""

DEMOS = ("captioning", "vqa", "translation", "sentiment", "generation", "lipreading")
