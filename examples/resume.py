"""Train a saved plan; run again after an interruption, it continues from its last checkpoint.

OUT holds the plan.json that ranks_then_train.py wrote, so nothing is scored again.
"""

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
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

import adarank

source, table, out = sys.argv[1:]
plan = adarank.RankPlan.from_json(json.loads(Path(out, "plan.json").read_text()))
rows = load_dataset("csv", data_files=table, split="train").class_encode_column("label")
tokenizer = AutoTokenizer.from_pretrained(source)

set_seed(0)  # before the new head and the adapters are drawn: the frozen weights must be the same
model = AutoModelForSequenceClassification.from_pretrained(
    source, num_labels=rows.features["label"].num_classes
)
model = get_peft_model(model, plan.lora_config(model, task_type="SEQ_CLS"))

runs = Path(out, "runs")
trainer = Trainer(
    model,
    TrainingArguments(str(runs), max_steps=20, save_steps=5, seed=0, report_to="none"),
    data_collator=DataCollatorWithPadding(tokenizer),
    train_dataset=rows.map(lambda row: tokenizer(row["text"], truncation=True)),
)
trainer.train(resume_from_checkpoint=get_last_checkpoint(runs) if runs.exists() else None)
model.save_pretrained(out)
