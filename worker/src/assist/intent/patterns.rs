//! The table of patterns that judges a message if no model answers.
//!
//! Every pattern is written for folded text: lower case, hiragana instead of katakana, and ordinary
//! instead of full-width letters and digits. The first row that matches a sentence judges it.

/// The judgement of a row about a sentence that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// The sentence reports a fault. Users send these, and so does the page's automatic repair.
    Fault,
    /// The sentence orders a change of the game.
    Order,
    /// The sentence asks for an earlier version.
    Restore,
    /// The sentence asks a question or is conversation.
    Talk,
    /// The sentence says how the message should be labelled, so it says nothing about the game.
    Label,
}

/// The rows of the table. The first that matches decides, so their order matters: sentences that
/// look like a wish for an earlier version but speak about something in the game come before those
/// wishes, and questions about how to undo come before both.
pub(super) const ROWS: &[(Sign, &str)] = &[
    // Questions about how something is done are never orders, whatever verb they contain.
    (
        Sign::Talk,
        r"(戻|もど|あんどぅ|undo|取り消|復元).*(どうや|どうすれば|方法|やり方|教えて|って何|ってなに|とは)",
    ),
    (Sign::Talk, r"(どうや|どうすれば|方法|やり方).*(戻|もど|あんどぅ|undo|取り消|復元)"),
    (
        Sign::Talk,
        r"^(what|how|why|where|which|when|who)\b.*\b(undo|revert|roll ?back|restore|go back)",
    ),
    // Orders about the label of the message and not about the game.
    (Sign::Label, r"^[^、,]*(らべる|分類|\b(intent|label)\b)[^、,]*\b(restore|chat|edit)\b"),
    // Reports of faults, as a program or a person words them.
    (
        Sign::Fault,
        r"\b(type|reference|syntax|range|uncaught) ?error\b|\buncaught\b|\bis not (defined|a function)\b|unexpected token|\b[a-z]+error:",
    ),
    (
        Sign::Fault,
        r"えらー(が|を|に|です|だ|は|も|の修正)|(ばぐ|壊れ|こわれ)(って|てい|てる|ました|てます)*[^か]*(直|なお|修正)",
    ),
    // Orders for things in the game that undo or return: buttons, functions, items, moves.
    (
        Sign::Order,
        r"(戻|もど|取り消|とりけ|きゃんせる|りせっと|やり直|やりなお|復元|復活|巻き戻|undo|あんどぅ|りばーと|ろーるばっく|back|revert|restore).*(ぼたん|機能|きー|りんく|あいてむ|演出|動き|えふぇくと|あにめ|めにゅー|敵|てき|button|feature|function|key|item|power-?up|option|menu)",
    ),
    (
        Sign::Order,
        r"(ぼたん|機能|きー|りんく|あいてむ|めにゅー|button|feature|item)(を|の|で|に|が).*(戻|もど|取り消|復元|undo)",
    ),
    (Sign::Order, r"(戻|もど)(る|れる|って|り|す|せる|して)?[^。]*よう(に|な)"),
    (
        Sign::Order,
        r"(位置|場所|地点|画面|たいとる|めにゅー|ほーむ|すたーと|中央|真ん中|色|いろ|大きさ|さいず|形|向き|角度|速さ|ちぇっくぽいんと|初期値|すてーじ|地面)(に|へ|まで)(戻|もど)",
    ),
    (
        Sign::Order,
        r"(戻|もど)(る|って(く|来)る|ってきて|れる)(とき|時|ため|までに|敵|ぼーる|処理|動き|確認)",
    ),
    (Sign::Order, r"(時間|とき|時|かうんと|びでお|かーど|ぼーる)(を|が)(巻き)?(戻|もど)"),
    (Sign::Order, r"(取り消し線|とりけし線)"),
    (
        Sign::Order,
        r"^(please )?(add|make|create|give|let|have|put an?|implement|build)\b.*\b(undo|revert|restore|return|go(es)? back|back|rollback)\b.*",
    ),
    (
        Sign::Order,
        r"\b(player|enem(y|ies)|ball|car|he|she|they|it (hits|dies|falls)|character|start position|spawn|title|menu|home)\b.*\b(go|goes|return|returns|move|back)\b|\b(return|send|move) the \w+ (back )?to\b",
    ),
    // Wishes for an earlier version.
    (
        Sign::Restore,
        r"^(an?)?(undo|あんどぅ|りばーと|ろーるばっく|取り消し|とりけし|元に|もとに|revert)(して|する|お願い|please|ください|しろ|せよ|して(ほしい|欲しい))*(です|します)?( please| that| it| this| now)*$",
    ),
    (
        Sign::Restore,
        r"(元|もと)(に|へ|の状態に|の形に|のばーじょんに)(全部|ぜんぶ|もう一度)?(戻|もど)(し|せ|す|そ|り)",
    ),
    (Sign::Restore, r"(元|もと)(通|どお|とお|どう)り?り(に|へ)|(元|もと)のまま(に|で)"),
    (
        Sign::Restore,
        r"(前|まえ|さっき|先ほど|先程|直前|以前|昨日|きのう|前回|今朝|先週|最初|はじめ|初め|もと|元|古い|昔|ふるい)(の|まで(の)?|に|へ)?[^、,]{0,10}?(に|へ|を|の?)?(戻|もど)(し|せ|す|そ|り)",
    ),
    (
        Sign::Restore,
        r"(前|まえ|さっき|直前|以前|昨日|前回|最初|もと|元|古い|昔)(の|までの)(ばーじょん|版|状態|じょうたい|やつ)(に|へ|で)?(復元|ろーるばっく|して|しろ|してほしい|お願い|よろしく|復活)",
    ),
    (
        Sign::Restore,
        r"(状態|ばーじょん|版|変更前|編集前|修正前)(に|へ|を)[^、,]{0,6}(戻|もど|復元|ろーるばっく)",
    ),
    (
        Sign::Restore,
        r"(変更|修正|編集|へんこう|今の|いまの|さっき|直前|最後|前回|これ|それ|今|いま)[^、,]{0,10}(取り消|取消|とりけ|とり消|きゃんせる|破棄|撤回|なかったこと|無かったこと|なしに|無しに)",
    ),
    (
        Sign::Restore,
        r"(今|いま|さっき|変更|へんこう|それ|これ)(の|は|を)?[^、,]{0,4}[、,]?(なし|無し|やめ)(で|$|に)",
    ),
    (Sign::Restore, r"\b(undo|revert|roll(ing)? ?back|rollback)\b"),
    (
        Sign::Restore,
        r"\brestore\b.*\b(previous|last|old|earlier|version|backup|before)\b|^(please )?restore( it| that| this)?( please)?$",
    ),
    (
        Sign::Restore,
        r"\b(go|put|bring|change|switch|get|take)\b.*\bback\b.*\b(previous|last|old|earlier|before|version|was|were)\b|\bback to (the )?(previous|last|old|earlier|how|way)\b|\bthe way it was\b",
    ),
    (
        Sign::Restore,
        r"(復元|ろーるばっく|りばーと|あんどぅ)(して|お願い|を?お願い|しろ|してほしい|してください|させて)",
    ),
    // A clause that begins with the verb names no object, so it is about the game itself.
    (
        Sign::Restore,
        r"(^|[、, ]|から|ので|けど|し、|なし)(すぐ(に)?|早く|はやく|全部|ぜんぶ|やっぱり?|一回|いったん|ぜひ|どうか)?(戻|もど)(して|せ|そう|したい|しといて|す$)",
    ),
    // Requests for ideas, opinions and explanations.
    (
        Sign::Talk,
        r"(教えて|おしえて|説明して|解説して|かいせつして|考えて|かんがえて|提案して|ていあんして|相談|そうだん|案を出して|あいであ(を|も)?(出して|だして|ください|ちょうだい|頂戴|ある|あり|ない|が(ほしい|欲しい))|ひんと(を)?(ください|ちょうだい|頂戴|教えて)|聞かせて|比べて|評価して|感想|解説(が|を)?(ほしい|欲しい|お願い)|説明(が|を)?(ほしい|欲しい|お願い))(ください|ほしい|欲しい|くれ.*|もらえ.*|よ|ね|みて|みよう|お願い.*|したい|に乗って|です)?[ ね]*$",
    ),
    (
        Sign::Talk,
        r"\b(suggest|recommend|explain|tell me|give me (some |a few |any )?(ideas|tips|hints|advice|suggestions)|ideas\b|advice\b|your opinion|do you think|what do you think)",
    ),
    // Orders in the form of a polite question.
    (
        Sign::Order,
        r"(して|で|って|めて|えて|けて|せて|れて|べて|いて|きて|みて|んで|いで)(もらえ|くれ|いただけ|頂け|ください|下さい|ほしい|欲しい|貰え|ちょうだい|おくれ)",
    ),
    (Sign::Order, r"(く|に|よう(に)?)(でき|出来|なり|なれ)(る|ます|ませんか|ない)"),
    (
        Sign::Order,
        r"^(can|could|would|will) (you|u|we) (please |pls |also |just )*(make|add|change|remove|fix|create|increase|decrease|turn|set|move|replace|give|let|put|use|show|hide|delete|speed|slow|draw|build|rename|swap|color|colour|double|halve|reduce|improve|update|have|stop|start|allow|animate)\b",
    ),
    // All other questions.
    (
        Sign::Talk,
        r"^(what|how|why|where|which|when|who|is|are|am|do|does|did|can|could|would|should|will|any|has|have|was|were)\b",
    ),
    (
        Sign::Talk,
        r"(どう(思|おも|かな|です|でしょう|やって|すれば|したら|なって|いう)|どんな|どの(き|く|よう)|どっち|どれ|どこ|いつ|だれ|誰|なぜ|何故|なんで|どうして|何(が|を|か|で|に|は|の|個|種類|人|です|だ|って)|なに(が|を|か|で)|おすすめ|いくつ)",
    ),
    (
        Sign::Talk,
        r"(ですか|ますか|でしょうか|かな|かね|だろう|だろうか|よね|っけ|のか|ないか|いいの|るの|たの|ないの|って(何|なに|なん))[ ?]*$",
    ),
    (Sign::Talk, r"[^、,]\?+$"),
    (Sign::Talk, r"(るーる|意味|使い方|遊び方|操作方法)は$"),
    // Sentences that consist only of a greeting, thanks, praise or agreement.
    (
        Sign::Talk,
        r"^(こんにち[はわ]|こんばん[はわ]|おはよ.*|はじめまして|初めまして|やあ|やっほ.*|ねえ.*|どうも.*|よろしく.*|今日もよろしく.*|ありがと.*|さんきゅ.*|感謝.*|さようなら|おやすみ.*|おつかれ.*|お疲れ.*|ごめん.*|すみません|はい|はーい|うん|うーん|了解.*|おっけー?|ok(ay)?|わかりました|わかった|分かりました|なるほど.*|そうです(か|ね)|いいね.*|いい感じ.*|すご(い|く|ー).*|さいこう|最高.*|完璧.*|かんぺき.*|面白い.*|おもしろい.*|楽しい.*|たのしい.*|かっこいい|かわいい|可愛い|やった.*|できた|気に入.*|素晴らし.*|すばらし.*|(hi|hello|hey|thanks|thank you|good (morning|evening|job|work)|nice|great|awesome|cool|wow|bye|yes|no|lol)\b.*)[ー〜~ ]*$",
    ),
    // All other sentences that speak about labels.
    (
        Sign::Label,
        r"(らべる|分類|かてごり|正解|指示|規則|役割|\b(intent|label|category|system|assistant|tool)\b)|\b(restore|chat|edit)\b",
    ),
];
