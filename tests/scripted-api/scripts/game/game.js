// 星あつめ: 夜空から落ちてくる星を月の舟で受けとめ、隕石をよけるゲーム。
(() => {
  'use strict';

  const $ = (id) => document.getElementById(id);
  const canvas = $('game');
  const ctx = canvas.getContext('2d');
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const rand = (min, max) => min + Math.random() * (max - min);
  const clamp = (value, min, max) => Math.max(min, Math.min(max, value));

  // ---- 状態 ----
  const KINDS = {
    star: { r: 13, color: '#ffd76a', points: 10 },
    rainbow: { r: 17, color: '#ff9df5', points: 50 },
    heart: { r: 13, color: '#ff7d9c' },
    shield: { r: 13, color: '#7fe3ff' },
    meteor: { r: 17, color: '#ff8a4c' },
  };
  const view = { w: 360, h: 640, scale: 1 };
  const field = { left: 0, right: 360 };
  const boat = { x: 180, speed: 0, tilt: 0, safe: 0, shield: false };
  const keys = new Set();
  let sky = [];
  let pointerX = null;
  let mode = 'title'; // title, play, paused, over
  let game = null;
  let clock = 0;
  let best = 0;
  // 保存を許さない環境でも遊べるようにする
  try { best = Number(localStorage.getItem('hoshi-atsume-best')) || 0; } catch { /* 残さない */ }

  const goal = () => 8 + game.level * 2;
  const multiplier = () => Math.min(5, 1 + Math.floor(game.combo / 5));
  const boatY = () => view.h - 74;
  const announce = (text) => { game.banner = text; game.bannerTime = 1.8; };
  const say = (text, x, y, color) => game.words.push({ text, x, y, color, age: 0 });

  // ---- 画面: 360 × 640 が必ず入る論理座標で描き、端末の大きさに拡大する ----
  function resize() {
    const dpr = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.max(1, Math.round(innerWidth * dpr));
    canvas.height = Math.max(1, Math.round(innerHeight * dpr));
    view.scale = Math.max(0.1, Math.min(innerWidth / 360, innerHeight / 640));
    view.w = innerWidth / view.scale;
    view.h = innerHeight / view.scale;
    ctx.setTransform(dpr * view.scale, 0, 0, dpr * view.scale, 0, 0);
    const before = field.left;
    field.left = Math.max(0, (view.w - 560) / 2);
    field.right = view.w - field.left;
    if (!game) boat.x = view.w / 2;
    for (const thing of game ? [boat, ...game.items] : []) {
      thing.x = clamp(thing.x + field.left - before, field.left + 20, field.right - 20);
    }
    sky = Array.from({ length: Math.round(view.w * view.h / 2600) }, () => (
      { x: rand(0, view.w), y: rand(0, view.h), r: rand(0.6, 2), t: rand(0, 7), v: rand(2, 9) }));
  }

  // ---- 音: 素材を持たず、その場で合成する ----
  const SCALE = [523.25, 587.33, 659.25, 783.99, 880, 1046.5, 1174.66, 1318.51, 1567.98, 1760];
  const TUNE = [0, 2, 4, 2, 1, 3, 4, 3, 0, 2, 5, 4, 3, 2, 1, 2];
  let audio = null;
  let muted = false;

  // ブラウザは、人が操作するまで音を出させない
  function wakeAudio() {
    const Context = window.AudioContext || window.webkitAudioContext;
    if (!audio && Context) audio = new Context();
    if (audio && audio.state === 'suspended') audio.resume().catch(() => {});
  }

  function tone(freq, { time = 0.18, type = 'triangle', volume = 0.12, to = freq, after = 0 } = {}) {
    if (!audio || muted || audio.state !== 'running') return;
    const start = audio.currentTime + after;
    const osc = audio.createOscillator();
    const gain = audio.createGain();
    osc.type = type;
    osc.frequency.setValueAtTime(freq, start);
    osc.frequency.exponentialRampToValueAtTime(to, start + time);
    gain.gain.setValueAtTime(volume, start);
    gain.gain.exponentialRampToValueAtTime(0.0001, start + time);
    osc.connect(gain).connect(audio.destination);
    osc.start(start);
    osc.stop(start + time);
  }

  const chord = (...notes) => notes.forEach((n, i) => tone(SCALE[n], { after: i * 0.08, time: 0.35 }));

  // ---- ゲームの進み方 ----
  function newGame() {
    game = {
      score: 0, level: 1, lives: 3, caught: 0, combo: 0, bonus: 0, wait: 0.6, beat: 0, note: 0,
      shake: 0, banner: '', bannerTime: 0, items: [], sparks: [], words: [],
    };
    const x = (field.left + field.right) / 2;
    Object.assign(boat, { x, speed: 0, tilt: 0, safe: 1.5, shield: false });
    pointerX = null;
    announce('レベル 1');
    setMode('play');
    chord(0, 2, 4, 5);
  }

  function setMode(next) {
    mode = next;
    keys.clear();
    $('overlay').hidden = mode === 'play';
    $('hud').hidden = mode === 'title';
    for (const id of ['title', 'paused', 'over']) $(id).hidden = id !== mode;
    $('start').textContent = { title: 'はじめる', paused: 'つづける', over: 'もう一度' }[mode] || '';
    $('best').textContent = best > 0 ? `これまでの最高 ${best} 点` : '';
    showNumbers();
  }

  function showNumbers() {
    if (!game) return;
    $('score').textContent = game.score;
    $('level').textContent = game.level;
    $('lives').textContent = '♥'.repeat(game.lives);
    $('progress').style.width = `${100 * game.caught / goal()}%`;
  }

  function spawn() {
    const dice = Math.random();
    let kind = 'star';
    if (game.bonus > 0) kind = dice < 0.12 ? 'rainbow' : 'star';
    else if (dice < 0.03) kind = game.lives < 5 ? 'heart' : 'star';
    else if (dice < 0.06) kind = boat.shield ? 'star' : 'shield';
    else if (dice < 0.12) kind = 'rainbow';
    else if (dice < Math.min(0.58, 0.3 + game.level * 0.035)) kind = 'meteor';
    const meteor = kind === 'meteor';
    const x = rand(field.left + 28, field.right - 28);
    game.items.push({
      kind, x, y: -30, r: KINDS[kind].r * (meteor ? rand(0.85, 1.3) : 1),
      // 隕石は、レベルが上がるほど舟のほうへ寄ってくる
      vx: meteor ? clamp((boat.x - x) * 0.12, -34, 34) * Math.min(1, (game.level - 1) / 4) : 0,
      vy: (rand(120, 165) + game.level * 13) * (meteor ? 1.15 : 1) * (kind === 'rainbow' ? 1.25 : 1),
      angle: rand(0, 6), spin: rand(-2, 2), sway: meteor ? 0 : rand(0, 26), t: rand(0, 6),
    });
    game.wait = game.bonus > 0 ? 0.13 : Math.max(0.26, 0.78 - game.level * 0.055) * rand(0.75, 1.25);
  }

  function sparkle(x, y, color, count) {
    for (let i = 0; i < count && game.sparks.length < 300; i++) {
      const angle = rand(0, Math.PI * 2);
      const speed = rand(30, 190);
      const [vx, vy] = [Math.cos(angle) * speed, Math.sin(angle) * speed - 40];
      game.sparks.push({ x, y, vx, vy, color, age: 0, life: rand(0.35, 0.8) });
    }
  }

  function take({ kind, x, y }) {
    const { color, points } = KINDS[kind];
    sparkle(x, y, color, kind === 'rainbow' ? 26 : 12);
    if (kind === 'heart') {
      game.lives = Math.min(5, game.lives + 1);
      say('残機 +1', x, y - 16, color);
      chord(2, 5);
    } else if (kind === 'shield') {
      boat.shield = true;
      say('シールド', x, y - 16, color);
      chord(0, 3);
    } else {
      game.combo += 1;
      game.caught += 1;
      const times = multiplier();
      game.score += points * times;
      say(`+${points * times}${times > 1 ? ` ×${times}` : ''}`, x, y - 16, color);
      tone(SCALE[Math.min(game.combo, SCALE.length) - 1]);
      if (kind === 'rainbow') chord(4, 6, 8);
      if (game.combo % 5 === 0) say(`コンボ ${game.combo}！`, boat.x, boatY() - 56, '#fff');
      if (game.caught >= goal()) levelUp();
    }
  }

  function levelUp() {
    game.level += 1;
    game.caught = 0;
    game.bonus = 3;
    for (const item of game.items) if (item.kind === 'meteor') item.gone = true;
    announce(`レベル ${game.level}　ボーナスタイム！`);
    chord(0, 2, 4, 5, 7);
  }

  function hit({ x, y }) {
    sparkle(x, y, KINDS.meteor.color, 24);
    game.combo = 0;
    game.shake = calm ? 0 : 0.35;
    boat.safe = 1.6;
    if (boat.shield) {
      boat.shield = false;
      say('防いだ！', boat.x, boatY() - 40, KINDS.shield.color);
      tone(700, { to: 180, time: 0.3 });
      return;
    }
    game.lives -= 1;
    tone(190, { to: 45, time: 0.5, type: 'sawtooth', volume: 0.16 });
    if (game.lives <= 0) finish();
  }

  function finish() {
    const record = game.score > best;
    if (record) {
      best = game.score;
      try { localStorage.setItem('hoshi-atsume-best', String(best)); } catch { /* 残さない */ }
    }
    $('final').textContent = game.score;
    $('record').textContent = record ? '最高得点を更新しました！' : `レベル ${game.level} まで進みました`;
    chord(5, 4, 2, 0);
    setMode('over');
  }

  function moveBoat(dt) {
    const left = keys.has('ArrowLeft') || keys.has('KeyA');
    const right = keys.has('ArrowRight') || keys.has('KeyD');
    if (left || right) pointerX = null;
    let wanted = (right - left) * 430;
    if (pointerX !== null) wanted = clamp((pointerX - boat.x) * 14, -900, 900);
    boat.speed += (wanted - boat.speed) * Math.min(1, dt * 16);
    boat.x = clamp(boat.x + boat.speed * dt, field.left + 38, field.right - 38);
    boat.tilt += (clamp(boat.speed / 900, -0.35, 0.35) - boat.tilt) * Math.min(1, dt * 10);
    boat.safe = Math.max(0, boat.safe - dt);
  }

  function moveItem(item, dt) {
    item.t += dt;
    item.angle += item.spin * dt;
    const vx = item.vx + Math.cos(item.t * 2) * item.sway;
    item.x = clamp(item.x + vx * dt, field.left + 14, field.right - 14);
    item.y += item.vy * dt;
    const dx = Math.abs(item.x - boat.x);
    const dy = Math.abs(item.y - boatY() - 8);
    if (item.kind === 'meteor') {
      item.gone = boat.safe <= 0 && Math.hypot(dx * 0.8, dy) < item.r + 22;
      if (item.gone) hit(item);
    } else if (dx < 36 + item.r * 0.7 && dy < 20 + item.r * 0.5) {
      item.gone = true;
      take(item);
    }
    if (item.gone || item.y < view.h + 40) return;
    item.gone = true;
    if (!KINDS[item.kind].points || game.bonus > 0) return;
    if (game.combo >= 5) say('倍率ダウン', item.x, view.h - 40, '#aab');
    game.combo = Math.max(0, game.combo - 5);
  }

  function update(dt) {
    moveBoat(dt);
    for (const name of ['bonus', 'shake', 'bannerTime']) game[name] = Math.max(0, game[name] - dt);
    if ((game.wait -= dt) <= 0) spawn();
    if ((game.beat -= dt) <= 0) {
      game.beat = Math.max(0.19, 0.34 - game.level * 0.012);
      tone(SCALE[TUNE[game.note++ % TUNE.length]] / 2, { time: 0.3, volume: 0.03, type: 'sine' });
    }
    for (const item of game.items) if (mode === 'play' && !item.gone) moveItem(item, dt);
    game.items = game.items.filter((item) => !item.gone);
    showNumbers();
  }

  function fade(dt) {
    for (const spark of game.sparks) {
      spark.age += dt;
      spark.vy += 260 * dt;
      spark.x += spark.vx * dt;
      spark.y += spark.vy * dt;
    }
    for (const word of game.words) { word.age += dt; word.y -= 38 * dt; }
    game.sparks = game.sparks.filter((spark) => spark.age < spark.life);
    game.words = game.words.filter((word) => word.age < 0.9);
  }

  // ---- 描画 ----
  function disc(x, y, r, color) {
    ctx.fillStyle = color;
    ctx.beginPath();
    ctx.arc(x, y, r, 0, Math.PI * 2);
    ctx.fill();
  }

  function gradient(y0, y1, ...colors) {
    const made = ctx.createLinearGradient(0, y0, 0, y1);
    colors.forEach((color, i) => made.addColorStop(i / (colors.length - 1), color));
    return made;
  }

  function drawSky() {
    ctx.fillStyle = gradient(0, view.h, '#080c2b', '#1d2060', '#6a4a8f');
    ctx.fillRect(-20, -20, view.w + 40, view.h + 40);
    ctx.fillStyle = '#fff';
    for (const star of sky) {
      ctx.globalAlpha = 0.4 + 0.35 * Math.sin(clock * 1.4 + star.t);
      ctx.fillRect(star.x, (star.y + clock * star.v) % view.h, star.r, star.r);
    }
    ctx.globalAlpha = 1;
    for (const [color, base, height, step] of [['#2a2358', 96, 34, 0.011], ['#161238', 52, 20, 0.019]]) {
      ctx.fillStyle = color;
      ctx.beginPath();
      ctx.moveTo(-20, view.h + 20);
      for (let x = -20; x <= view.w + 20; x += 10) {
        const hill = Math.sin(x * step) * 0.6 + Math.sin(x * step * 2.3 + 2) * 0.4;
        ctx.lineTo(x, view.h - base + hill * height);
      }
      ctx.lineTo(view.w + 20, view.h + 20);
      ctx.fill();
    }
  }

  function starPath(r, inner) {
    ctx.beginPath();
    for (let i = 0; i < 10; i++) {
      const radius = i % 2 ? r * inner : r;
      ctx.lineTo(Math.sin(i * Math.PI / 5) * radius, -Math.cos(i * Math.PI / 5) * radius);
    }
    ctx.closePath();
  }

  function drawMeteor({ r, t, vx, vy }) {
    ctx.rotate(-Math.atan2(vx, vy));
    ctx.fillStyle = gradient(-r * 4.2, 0, '#ff8a4c00', '#ff8a4ccc');
    ctx.beginPath();
    ctx.moveTo(-r, 0);
    ctx.lineTo(Math.sin(t * 30) * 3, -r * 4.2);
    ctx.lineTo(r, 0);
    ctx.fill();
    disc(0, 0, r + 1.5, KINDS.meteor.color);
    disc(0, 0, r - 1, '#5b3a3a');
    disc(-r * 0.35, -r * 0.2, r * 0.26, '#432828');
    disc(r * 0.35, r * 0.25, r * 0.2, '#432828');
  }

  function drawItem(item) {
    const { kind, r } = item;
    ctx.save();
    ctx.translate(item.x, item.y);
    if (kind === 'meteor') {
      drawMeteor(item);
    } else {
      ctx.fillStyle = kind === 'rainbow' ? `hsl(${item.t * 160 % 360} 95% 76%)` : KINDS[kind].color;
      ctx.strokeStyle = ctx.shadowColor = ctx.fillStyle;
      ctx.shadowBlur = 18;
      if (kind === 'heart') {
        ctx.beginPath();
        ctx.moveTo(0, r);
        ctx.bezierCurveTo(-r * 1.9, -r * 0.3, -r * 0.8, -r * 1.5, 0, -r * 0.5);
        ctx.bezierCurveTo(r * 0.8, -r * 1.5, r * 1.9, -r * 0.3, 0, r);
      } else if (kind === 'shield') {
        ctx.lineWidth = 3;
        ctx.beginPath();
        ctx.arc(0, 0, r + 3, 0, Math.PI * 2);
        ctx.stroke();
        starPath(r * 0.6, 0.8);
      } else {
        ctx.rotate(item.angle);
        starPath(r, 0.5);
      }
      ctx.fill();
    }
    ctx.restore();
  }

  function drawBoat() {
    ctx.save();
    ctx.translate(boat.x, boatY() + Math.sin(clock * 3) * 2);
    ctx.rotate(boat.tilt);
    // 当たらないあいだは点滅する
    ctx.globalAlpha = boat.safe > 0 && Math.sin(clock * 26) > 0 ? 0.35 : 1;
    ctx.fillStyle = ctx.shadowColor = '#ffe9a8';
    ctx.shadowBlur = 22;
    ctx.beginPath();
    ctx.moveTo(-40, -14);
    ctx.bezierCurveTo(-34, 44, 34, 44, 40, -14);
    ctx.bezierCurveTo(24, 16, -24, 16, -40, -14);
    ctx.fill();
    ctx.shadowBlur = 0;
    for (const side of [-9, 9]) disc(side, 15, 2.2, '#5a4300');
    ctx.strokeStyle = '#5a4300';
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(0, 17, 4.5, 0.15 * Math.PI, 0.85 * Math.PI);
    ctx.stroke();
    if (boat.shield) {
      ctx.strokeStyle = KINDS.shield.color;
      ctx.lineWidth = 3;
      ctx.beginPath();
      ctx.arc(0, 6, 48 + Math.sin(clock * 6) * 2, 0, Math.PI * 2);
      ctx.stroke();
    }
    ctx.restore();
  }

  function write(text, x, y, size, color, alpha) {
    ctx.globalAlpha = clamp(alpha, 0, 1);
    ctx.font = `700 ${size}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.textAlign = 'center';
    ctx.lineWidth = 4;
    ctx.strokeStyle = '#0b1030b0';
    ctx.strokeText(text, x, y);
    ctx.fillStyle = color;
    ctx.fillText(text, x, y);
    ctx.globalAlpha = 1;
  }

  function draw() {
    ctx.save();
    const shake = game ? game.shake * 22 : 0;
    ctx.translate(rand(-shake, shake), rand(-shake, shake));
    drawSky();
    if (mode !== 'over') drawBoat();
    if (game) {
      game.items.forEach(drawItem);
      for (const spark of game.sparks) {
        ctx.globalAlpha = 1 - spark.age / spark.life;
        ctx.fillStyle = spark.color;
        ctx.fillRect(spark.x - 2, spark.y - 2, 4, 4);
      }
      for (const { text, x, y, color, age } of game.words) {
        write(text, clamp(x, field.left + 44, field.right - 44), y, 17, color, 1.6 - age * 1.8);
      }
      write(game.banner, view.w / 2, view.h * 0.3, 25, '#fff', game.bannerTime * 1.5);
    }
    ctx.restore();
  }

  // ---- 操作 ----
  function go() {
    wakeAudio();
    if (mode === 'paused') setMode('play');
    else if (mode !== 'play') newGame();
  }

  const pause = () => { if (mode === 'play') setMode('paused'); };

  function toggleMute() {
    wakeAudio();
    muted = !muted;
    $('mute').setAttribute('aria-pressed', String(muted));
  }

  addEventListener('keydown', (event) => {
    const { code, repeat, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // ボタンの上の Enter と Space は、そのボタンのクリックになる
    const press = (code === 'Space' || code === 'Enter') && !(target instanceof HTMLButtonElement);
    if (press || code.startsWith('Arrow')) event.preventDefault();
    keys.add(code);
    if (repeat) return;
    if (press) go();
    if (code === 'KeyM') toggleMute();
    if (code === 'KeyP' || code === 'Escape') (mode === 'paused' ? go : pause)();
  });
  addEventListener('keyup', (event) => keys.delete(event.code));
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointerX = event.clientX / view.scale;
  });
  canvas.addEventListener('pointermove', (event) => { pointerX = event.clientX / view.scale; });
  $('start').addEventListener('click', () => { go(); $('start').blur(); });
  $('mute').addEventListener('click', () => { toggleMute(); $('mute').blur(); });
  document.addEventListener('visibilitychange', () => { if (document.hidden) pause(); });
  addEventListener('blur', pause);
  addEventListener('resize', resize);

  // ---- 時計 ----
  let last = performance.now();
  function frame(now) {
    const dt = clamp((now - last) / 1000, 0, 1 / 30);
    last = now;
    clock += dt;
    if (mode === 'play') update(dt);
    if (game && mode !== 'paused') fade(dt);
    draw();
    requestAnimationFrame(frame);
  }

  resize();
  setMode('title');
  requestAnimationFrame(frame);
})();
