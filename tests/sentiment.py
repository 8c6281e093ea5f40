"""`python sentiment.py FOLDER SENTENCES` trains a small network of BERT's kind on real sentences,
and writes it as a folder that can be imported, with what PyTorch itself says of some of them.
"""

from __future__ import annotations

import bz2
import csv
import json
import sys
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn
from torch.nn import functional

LABELS: Final = ("negative", "positive")
CLASSES: Final = {"rotten": 0, "fresh": 1}
WIDTH, HEADS, LAYERS, LENGTH = 32, 2, 2, 48
TRAINED, SHOWN, BATCH, ROUNDS = 9000, 400, 64, 2


class Block(nn.Module):  # type: ignore[misc]
    """One layer of a transformer: each token looks at all that are none to fill up with."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.three, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, tokens: Tensor, hidden: Tensor) -> Tensor:
        batch, length = tokens.shape[:2]
        heads = self.three(self.before(tokens)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5 + hidden
        seen = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, length, WIDTH)
        tokens = tokens + self.out(seen)
        found: Tensor = tokens + self.narrow(functional.gelu(self.wide(self.after(tokens))))
        return found


class Network(nn.Module):  # type: ignore[misc]
    """From token ids, mask and types [batch, tokens] to logits [batch, classes]."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.types = nn.Embedding(2, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.last, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(LABELS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        tokens = self.words(input_ids) + self.places(places) + self.types(token_type_ids)
        mask = attention_mask.to(tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens, (1 - mask)[:, None, None, :] * -1e9)
        mean = (self.last(tokens) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        logits: Tensor = self.head(mean)
        return logits


def main(folder: Path, sentences: Path) -> None:
    torch.manual_seed(7)
    torch.set_num_threads(1)
    texts, classes = read(sentences)
    tokenizer = train_tokenizer(texts[:TRAINED])
    network = train(tokenizer, texts[:TRAINED], classes[:TRAINED])
    shown = texts[TRAINED : TRAINED + SHOWN]
    pairs = list(zip(shown[:20], shown[20:40], strict=True))
    with torch.no_grad():
        alone = network(**encoded(tokenizer, shown)).softmax(-1)
        paired = network(**encoded(tokenizer, pairs)).softmax(-1)
    folder.mkdir()
    export(network, folder / "model.onnx")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "architectures": ["BertForSequenceClassification"],
        "id2label": dict(enumerate(LABELS)),
        "max_position_embeddings": LENGTH,
        "pad_token_id": tokenizer.token_to_id("[PAD]"),
    }
    (folder / "config.json").write_text(json.dumps(config))
    told = {
        "texts": shown,
        "classes": classes[TRAINED : TRAINED + SHOWN],
        "probabilities": alone.tolist(),
        "pairs": pairs,
        "of_pairs": paired.tolist(),
    }
    (folder / "expected.json").write_text(json.dumps(told))


def read(path: Path) -> tuple[list[str], list[int]]:
    """Sentences and their classes, mixed."""
    with bz2.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["category"] in CLASSES]
    order = torch.randperm(len(rows)).tolist()
    return [rows[at]["text"] for at in order], [CLASSES[rows[at]["category"]] for at in order]


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """BERT's kind of tokenizer, of a few thousand pieces of words."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=4000, special_tokens=special)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(each, tokenizer.token_to_id(each)) for each in ("[CLS]", "[SEP]")],
    )
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"))
    return tokenizer


def encoded(tokenizer: Tokenizer, texts: Any) -> dict[str, Tensor]:
    read = tokenizer.encode_batch(texts)
    return {
        "input_ids": torch.tensor([each.ids for each in read]),
        "attention_mask": torch.tensor([each.attention_mask for each in read]),
        "token_type_ids": torch.tensor([each.type_ids for each in read]),
    }


def train(tokenizer: Tokenizer, texts: list[str], classes: list[int]) -> Network:
    network = Network(tokenizer.get_vocab_size())
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=0.05)
    answers = torch.tensor(classes)
    for _ in range(ROUNDS):
        for chosen in torch.randperm(len(texts)).split(BATCH):
            given = encoded(tokenizer, [texts[at] for at in chosen.tolist()])
            loss = functional.cross_entropy(network(**given), answers[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    return network


def export(network: Network, path: Path) -> None:
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        network,
        tuple(torch.ones(2, 8, dtype=torch.int64) for _ in names),
        str(path),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
        dynamo=False,
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
