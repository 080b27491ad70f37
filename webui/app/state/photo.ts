// Photos made small in the browser: a square of the picture, drawn anew, so that nothing of the file but what is seen is left.

/** Width and height of what is kept, pixels. */
const SIDE = 256;
/** What the gateway takes, octets. */
const LARGEST = 32 * 1024;

/** Which part of a picture: how much nearer than the whole width or height, and where between its sides (0 to 1). */
export interface View {
  zoom: number;
  x: number;
  y: number;
}
export const START: View = { zoom: 1, x: 0.5, y: 0.5 };

/** Draws the part of the picture. */
export function draw(canvas: HTMLCanvasElement, picture: ImageBitmap, view: View): void {
  const pen = canvas.getContext('2d');
  if (!pen) return;
  const side = Math.min(picture.width, picture.height) / view.zoom;
  pen.fillStyle = '#fff'; // behind what is clear
  pen.fillRect(0, 0, SIDE, SIDE);
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(picture, (picture.width - side) * view.x, (picture.height - side) * view.y, side, side, 0, 0, SIDE, SIDE);
}

/** A file of it that the gateway takes: WebP, else JPEG, as good as fits. */
export async function shrink(canvas: HTMLCanvasElement): Promise<Blob | null> {
  for (const type of ['image/webp', 'image/jpeg']) {
    for (const quality of [0.85, 0.7, 0.5, 0.3]) {
      const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, type, quality));
      if (!blob || blob.type !== type) break; // browsers that cannot make it make another
      if (blob.size <= LARGEST) return blob;
    }
  }
  return null;
}
