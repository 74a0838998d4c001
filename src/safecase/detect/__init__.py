"""Turn text into scores and findings: normalisation, personal data, rules, coherence, linear heads, embeddings.

Takes:  text; weights with their card (package data of `safeguard` and `measure`).
Gives:  plain text, probabilities, spans, matches; each a pure function of the text, the weights and this code.
Does not own: what a score means or leads to (safeguard, measure), and the weights. Guard and judge call the same code
and share no weights, rows or texts: `shared_material` of their two cards shows it.
"""

from typing import TYPE_CHECKING

from safecase._face import lazy_face

if TYPE_CHECKING:
    from safecase.detect._coherence import incoherence
    from safecase.detect._counts import Counts, count_ngrams
    from safecase.detect._embedding import Embedder, EmbedderName, Embeddings, HashedEmbedder, open_embedder
    from safecase.detect._embedding_head import (
        EmbeddingHead,
        EmbeddingHeads,
        load_embedding_card,
        load_embedding_heads,
        pack_embedding_heads,
    )
    from safecase.detect._head import (
        CorruptWeights,
        Head,
        HeadCard,
        HeadSet,
        Measured,
        Performance,
        SharedMaterial,
        SourceCard,
        WeightsCard,
        load_heads,
        pack_heads,
        score_by_all,
        shared_material,
    )
    from safecase.detect._many import scores_many
    from safecase.detect._minilm import MiniLMEmbedder
    from safecase.detect._minors import apparent_child_abuse
    from safecase.detect._ngrams import Features
    from safecase.detect._normalise import normalise
    from safecase.detect._personal import PersonalKind, Span, find_personal_data, is_iban, is_luhn
    from safecase.detect._rules import OVERRIDE_RULES, REFUSAL_RULES, RULE_REACH, Match, Rule, find_rules, has_match
    from safecase.detect._shown import Shown, shown
else:
    __getattr__, __dir__ = lazy_face(__name__)

__all__ = [
    "OVERRIDE_RULES",
    "REFUSAL_RULES",
    "RULE_REACH",
    "CorruptWeights",
    "Counts",
    "Embedder",
    "EmbedderName",
    "EmbeddingHead",
    "EmbeddingHeads",
    "Embeddings",
    "Features",
    "HashedEmbedder",
    "Head",
    "HeadCard",
    "HeadSet",
    "Match",
    "Measured",
    "MiniLMEmbedder",
    "Performance",
    "PersonalKind",
    "Rule",
    "SharedMaterial",
    "Shown",
    "SourceCard",
    "Span",
    "WeightsCard",
    "apparent_child_abuse",
    "count_ngrams",
    "find_personal_data",
    "find_rules",
    "has_match",
    "incoherence",
    "is_iban",
    "is_luhn",
    "load_embedding_card",
    "load_embedding_heads",
    "load_heads",
    "normalise",
    "open_embedder",
    "pack_embedding_heads",
    "pack_heads",
    "score_by_all",
    "scores_many",
    "shared_material",
    "shown",
]
