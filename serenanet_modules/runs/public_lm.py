"""A public language model's folder: as an encoder's, with a tokenizer and the template of a chat."""

import re

from serenanet_modules.data.tokens import FILE as TOKENIZER
from serenanet_modules.data.tokens import read_tokenizer
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained import CausalLM
from serenanet_modules.lobes.pretrained.language_models import known_language_model
from serenanet_modules.runs.chat_template import filled
from serenanet_modules.runs.public_folder import CONFIG, MOST_JSON, PublicFolder

PART, CLASS = "llm", "serenanet_modules.lobes.pretrained.CausalLM"  # of hyper-parameters
TOLD, TEMPLATE, GENERATION = "tokenizer_config.json", "chat_template.jinja", "generation_config.json"
CONTEXT, SOUND = "\ue000", "\ue001"  # stand for what goes there, while a template is filled in


class LanguageModelFolder(PublicFolder):
    """As `PublicFolder`."""

    KEY, BESIDE, NEEDED = f"{PART}.source", (TOLD, TEMPLATE, GENERATION), (CONFIG, TOKENIZER)

    def _known(self):
        return known_language_model({**self.json(CONFIG), "eos_token_id": self._ends()})[1]

    def _ends(self):
        """What ends a text; of several tokens that of the tokenizer first, for the first is learned."""
        found = [self.json(name).get("eos_token_id") for name in (GENERATION, CONFIG)]
        ends = next((ids for ids in found if ids not in (None, [])), None)
        if ends is None:
            raise ValueError("its configuration names no eos_token_id, which would end a text")
        if not isinstance(ends, list):
            return ends
        own = read_tokenizer(self.path / TOKENIZER).token_to_id(_text(self.json(TOLD).get("eos_token")))
        return sorted(ends, key=lambda token: token != own)

    def _part(self, values):
        return CausalLM(self.source, values)

    def told(self, instruction="", chat=True):
        """Arguments of the part that follow from the folder, by name."""
        names = {"source": self.source, "config": self.arguments(), "revision": self.revision}
        return {**names, "sha256": self.sha256, "prompt": self.prompt(instruction, chat)}

    def prompt(self, instruction, chat):
        """Three texts: before a context, between it and the sound, after the sound.

        Parameters
        ----------
        instruction : str
        chat : bool
            Whether to use the chat's template, where there is one.

        Raises
        ------
        UserError
            For a template that cannot be filled in.
        """
        told, template = self.json(TOLD), self._template() if chat else None
        marks = {name: _text(told.get(name)) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
        asked = f"{CONTEXT}{SOUND}" + (f"\n{instruction}" if instruction else "")
        if template is None:
            filled = f"{marks['bos_token']}{asked}\n"
        else:
            filled = self._filled(template, [{"role": "user", "content": asked}], marks)
        found = re.split(f"[{CONTEXT}{SOUND}]", filled)
        if len(found) != 3:
            raise UserError(
                f"llm.source: the chat template of {self.source} leaves out the user's message; give --llm.chat false"
            )
        return found

    def _template(self):
        """The template's text, None where there is none."""
        file, told = self.path / TEMPLATE, self.json(TOLD).get("chat_template")
        if file.is_file():
            if file.stat().st_size > MOST_JSON:
                raise UserError(f"{file}: is far too long")
            return file.read_text(encoding="utf-8")
        return told if told is None or isinstance(told, str) else self._default(told)

    def _default(self, templates):
        """That of several named templates whose name is default."""
        entries = [entry for entry in templates if isinstance(entry, dict)] if isinstance(templates, list) else []
        named = [entry.get("template") for entry in entries if entry.get("name") == "default"]
        if len(named) != 1 or not isinstance(named[0], str):
            raise UserError(
                f"llm.source: of the chat templates of {self.source} none is named default; give --llm.chat false"
            )
        return named[0]

    def _filled(self, template, messages, marks):
        """A template filled in; it may be anybody's, and reaches nothing but these values."""
        more = {"add_generation_prompt": True, "enable_thinking": False}
        try:
            return filled(template, {"messages": messages, **more, **marks})
        except ValueError as error:
            raise UserError(
                f"llm.source: the chat template of {self.source} cannot be filled in ({error}); give --llm.chat false"
            ) from None


def _text(token):
    """A special token of tokenizer_config.json, which may be a mapping with its text."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else ""
