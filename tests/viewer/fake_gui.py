"""Widgets without a screen, of viser's kind and of Open3D's, that a test moves as a person does."""

from contextlib import contextmanager
from types import SimpleNamespace


class Control:
    """A control of viser: `move` is a person's hand."""

    def __init__(self, label, value=None, options=()):
        self.label, self.value, self.options = label, value, options
        self.visible, self.disabled, self.content = True, False, ""
        self._impl = SimpleNamespace(uuid=str(id(self)))
        self._heard = []

    def move(self, value=None):
        if value is not None:
            self.value = value
        for act in self._heard:
            act(SimpleNamespace(target=self))

    def _hear(self, act):
        self._heard.append(act)
        return act

    on_update = on_click = on_upload = on_trigger = _hear


class Page:
    """A client of viser: its controls by label, what it was told, and what it was sent."""

    def __init__(self):
        self.gui, self.controls, self.keys = self, {}, {}
        self.told, self.files, self.folders = [], [], {}
        self.theme, self.kept = {}, {}
        self.local_storage = SimpleNamespace(set_item=self.kept.__setitem__)

    def __getitem__(self, label):
        return self.controls[label]

    def _add(self, label, value=None, options=()):
        self.controls[label] = Control(label, value, options)
        return self.controls[label]

    @contextmanager
    def add_folder(self, label, expand_by_default=True):
        self.folders[label] = expand_by_default
        yield self._add(label)

    @contextmanager
    def add_modal(self, title):
        yield SimpleNamespace(close=lambda: None)

    def add_dropdown(self, label, options, initial_value=None):
        return self._add(label, initial_value or options[0], options)

    def add_button_group(self, label, options, visible=True):
        return self._add(label, options[0], options)

    def add_slider(self, label, low, high, step, value):
        return self._add(label, value)

    def add_number(self, label, value, min=None, max=None, step=None):
        return self._add(label, value)

    def add_checkbox(self, label, value):
        return self._add(label, value)

    def add_text(self, label, value, hint=""):
        return self._add(label, value)

    def add_button(self, label):
        return self._add(label)

    def add_upload_button(self, label, mime_type):
        return self._add(label)

    def add_markdown(self, text):
        return Control(text)

    add_html = add_markdown

    def add_command(self, label, hotkey):
        self.keys[hotkey] = Control(label)
        self.keys[hotkey].remove = lambda: self.keys.pop(hotkey)
        return self.keys[hotkey]

    def configure_theme(self, **options):
        self.theme = options

    def add_notification(self, title, body, color):
        self.told.append(body)

    def send_file_download(self, name, content, save_immediately):
        self.files.append((name, content))


class Widget:
    """A widget of Open3D's GUI: `act` is a person's hand."""

    INT, DOUBLE = "int", "double"

    def __init__(self, *arguments):
        self.arguments, self.items, self.heard = arguments, [], None
        self.number_of_items = 0

    def __getattr__(self, name):
        if name.startswith("set_on_"):
            return lambda heard: self.__dict__.update(heard=heard)
        return lambda *_: None

    def add_item(self, name):
        self.items.append(name)
        self.number_of_items = len(self.items)

    def clear_items(self):
        self.items, self.number_of_items = [], 0

    def act(self, *values):
        self.heard(*values)


class Gui:
    """Open3D's module of widgets."""

    def __getattr__(self, name):
        return Widget
