"""Score a model, allocate ranks, train them with PEFT and transformers' Trainer."""

import json
import sys
from pathlib import Path

from datasets import load_dataset
from peft import get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

import adarank

source, table, out = sys.argv[1:]
rows = load_dataset("csv", data_files=table, split="train").class_encode_column("label")
tokenizer = AutoTokenizer.from_pretrained(source)
model = AutoModelForSequenceClassification.from_pretrained(
    source, num_labels=rows.features["label"].num_classes
)

scores = adarank.score(model, rows["text"][:32], tokenizer, estimator="linearized")
plan = adarank.allocate(scores, budget=4)
Path(out).mkdir(parents=True, exist_ok=True)
Path(out, "plan.json").write_text(json.dumps(plan.to_json(), indent=2))

model = get_peft_model(model, plan.lora_config(model, task_type="SEQ_CLS"))
model.print_trainable_parameters()
trainer = Trainer(
    model,
    TrainingArguments(out, max_steps=20, learning_rate=1e-3, report_to="none"),
    data_collator=DataCollatorWithPadding(tokenizer),
    train_dataset=rows.map(lambda row: tokenizer(row["text"], truncation=True)),
)
trainer.train()
model.save_pretrained(out)
